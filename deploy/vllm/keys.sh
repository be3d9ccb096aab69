#!/bin/sh
# Make the keys of vLLM and of its proxy, as root, in the folder named:
#   sh keys.sh /etc/ambit/vllm [GROUP [WATCHERS]]
# Ambit reads ask_key and operate_key, as a member of GROUP; Prometheus reads watch_key, as a member of WATCHERS. A
# group is a name or a number. Without them the files are for whoever runs this alone. Keys that are there stay.
set -eu
folder=${1:?name the folder for the keys}
group=${2:-} watchers=${3:-}
(umask 022 && mkdir -p "$folder")
# Each key says who may read it; to reach it is for all.
chmod 711 "$folder"
umask 077
for name in vllm_key ask_key operate_key watch_key; do
    [ -s "$folder/$name" ] || openssl rand -hex 32 >"$folder/$name"
done
cat >"$folder/proxy_keys" <<KEYS
map \$http_authorization \$may_ask { default 0; "Bearer $(cat "$folder/ask_key")" 1; }
map \$http_authorization \$may_operate { default 0; "Bearer $(cat "$folder/operate_key")" 1; }
map \$http_authorization \$may_watch { default 0; "Bearer $(cat "$folder/watch_key")" 1; }
map "" \$vllm_authorization { default "Bearer $(cat "$folder/vllm_key")"; }
KEYS
may_read() {
    chgrp "$1" "$2" && chmod 640 "$2"
}
if [ -n "$group" ]; then
    may_read "$group" "$folder/ask_key"
    may_read "$group" "$folder/operate_key"
fi
if [ -n "$watchers" ]; then
    may_read "$watchers" "$folder/watch_key"
fi

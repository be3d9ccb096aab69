#!/bin/sh
# Make the keys of vLLM and of its proxy in the folder named: sh keys.sh /etc/ambit/vllm
# Files that are there stay as they are. Ambit reads ask_key and operate_key, Prometheus watch_key.
set -eu
umask 077
folder=${1:?name the folder for the keys}
mkdir -p "$folder"
for name in vllm_key ask_key operate_key watch_key; do
    [ -s "$folder/$name" ] || openssl rand -hex 32 >"$folder/$name"
done
cat >"$folder/proxy_keys" <<KEYS
map \$http_authorization \$may_ask { default 0; "Bearer $(cat "$folder/ask_key")" 1; }
map \$http_authorization \$may_operate { default 0; "Bearer $(cat "$folder/operate_key")" 1; }
map \$http_authorization \$may_watch { default 0; "Bearer $(cat "$folder/watch_key")" 1; }
map "" \$vllm_authorization { default "Bearer $(cat "$folder/vllm_key")"; }
KEYS

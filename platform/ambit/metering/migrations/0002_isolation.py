"""Keys led by the tenant, references inside the tenant, row-level security, and who looks across tenants."""

from django.db import migrations

from tenants.rls import OWN, Reference, isolate, refused_once_closing

_MEMBER = (Reference("member_id", "tenants_member"),)


class Migration(migrations.Migration):
    dependencies = [("metering", "0001_initial"), ("tenants", "0005_refusal_named")]

    operations = [
        # The dispatcher finds out where uses were left open or are old: when, of which tenant, nothing else.
        isolate(
            "metering_use",
            reads=OWN,
            references=_MEMBER,
            grants={"ambit_dispatch": "SELECT (tenant_id, at, outcome)"},
        ),
        isolate("metering_useday", reads=OWN, references=_MEMBER),
        # What the operator is told of each tenant: sums.
        isolate("metering_usemonth", grants={"ambit_operator": "SELECT"}),
        isolate("metering_limit"),
        *(
            refused_once_closing(f"metering_{table}")
            for table in ("use", "useday", "usemonth", "limit")
        ),
    ]

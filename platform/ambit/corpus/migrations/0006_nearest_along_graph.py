"""The walk along a tenant's own graph, and when not to take it.

A function, because a graph is an index for one tenant alone: only a statement that holds the tenant as
a literal can use it, and such a statement's plan is of no use to the next tenant. It runs as its
caller, under the policies, in the snapshot of the statement around it.
"""

from __future__ import annotations

from django.db import migrations

_CREATE = """
CREATE FUNCTION nearest_along_graph(query halfvec, depth int, exact_rows int)
RETURNS TABLE (id uuid, document_id uuid, distance float8)
LANGUAGE plpgsql STABLE STRICT SECURITY INVOKER ROWS 50
SET search_path = public, pg_temp
-- Left alone, the planner reads all visible rows and sorts them: it does not know how many they are.
SET enable_sort = off
AS $$
DECLARE
    tenant uuid := current_setting('ambit.tenant_id')::uuid;
    graph regclass := to_regclass('vector_graph_' || replace(tenant::text, '-', ''));
    walk text := format(
        'SELECT array_agg(w.id), array_agg(w.document_id), array_agg(w.distance) FROM (
            SELECT id, document_id, embedding <=> $1 AS distance FROM corpus_chunkvector
            WHERE tenant_id = %L ORDER BY embedding <=> $1 LIMIT $2
        ) w', tenant);
    n_visited int := least(1000, greatest(100, 2 * depth));
    ids uuid[]; document_ids uuid[]; distances float8[];
BEGIN
    IF graph IS NULL OR NOT (SELECT indisvalid FROM pg_index WHERE indexrelid = graph)
       OR NOT EXISTS (SELECT FROM corpus_chunkvector WHERE tenant_id = tenant OFFSET exact_rows LIMIT 1)
    THEN
        RETURN;
    END IF;
    -- Undone at the function's end, as what is set above.
    PERFORM set_config('hnsw.iterative_scan', 'off', true);
    FOR attempt IN 1..2 LOOP
        PERFORM set_config('hnsw.ef_search', n_visited::text, true);
        EXECUTE walk INTO ids, document_ids, distances USING query, depth;
        IF cardinality(ids) = depth THEN
            RETURN QUERY SELECT * FROM unnest(ids, document_ids, distances);
            RETURN;
        END IF;
        -- So many must be visited where visible rows are as dense as among those just visited.
        n_visited := ceil(1.3 * depth * n_visited / nullif(cardinality(ids), 0));
        EXIT WHEN n_visited > 1000 OR n_visited IS NULL;
    END LOOP;
END
$$
"""


class Migration(migrations.Migration):
    dependencies = [("corpus", "0005_lexemes_in_order")]

    operations = [
        migrations.RunSQL(_CREATE, "DROP FUNCTION nearest_along_graph(halfvec, int, int)"),
    ]

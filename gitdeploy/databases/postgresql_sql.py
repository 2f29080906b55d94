"""What is asked of a PostgreSQL server. All of it works from version 11 on."""

from __future__ import annotations

_OWN = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"

SIZE = f"""
SELECT coalesce(sum(pg_table_size(c.oid)), 0) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'm') AND {_OWN}
"""  # noqa: S608  # nothing comes from outside

# Columns, indexes, constraints, views, functions, triggers, enums; and the migrations that frameworks have recorded, in
# whatever schema their table is.
FINGERPRINT = f"""
SET search_path = '';
SELECT 'column', n.nspname, c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
       pg_get_expr(d.adbin, d.adrelid)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND a.attnum > 0 AND NOT a.attisdropped AND {_OWN} ORDER BY 2, 3, 5;
SELECT 'index', pg_get_indexdef(i.indexrelid) FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
JOIN pg_namespace n ON n.oid = c.relnamespace WHERE {_OWN} ORDER BY 2;
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(k.oid) FROM pg_constraint k
JOIN pg_namespace n ON n.oid = k.connamespace WHERE {_OWN} ORDER BY 2, 3;
SELECT 'view', c.oid::regclass::text, pg_get_viewdef(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('v', 'm') AND {_OWN} ORDER BY 2;
SELECT 'function', p.oid::regprocedure::text, md5(p.prosrc) FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE {_OWN} ORDER BY 2;
SELECT 'trigger', pg_get_triggerdef(t.oid) FROM pg_trigger t WHERE NOT t.tgisinternal ORDER BY 2;
SELECT 'enum', e.enumtypid::regtype::text, e.enumlabel FROM pg_enum e ORDER BY 2, e.enumsortorder;
SELECT 'alembic', query_to_xml(format('SELECT version_num FROM %s ORDER BY 1', c.oid::regclass), false, false, '')
FROM pg_class c WHERE c.relname = 'alembic_version' AND c.relkind = 'r' ORDER BY c.oid::regclass::text;
SELECT 'django', query_to_xml(format('SELECT app, name FROM %s ORDER BY 1, 2', c.oid::regclass), false, false, '')
FROM pg_class c WHERE c.relname = 'django_migrations' AND c.relkind = 'r' ORDER BY c.oid::regclass::text;
"""  # noqa: S608

TABLES_NAMED = "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relname = {name} AND c.relkind IN ('r', 'p')"

# Rows inserted, changed and deleted by table since the server began to count; nothing where it doesn't.
COUNTERS = """
SELECT n_tup_ins + n_tup_upd + n_tup_del, relid || ' ' || schemaname || '.' || relname FROM pg_stat_user_tables
WHERE current_setting('track_counts')::bool ORDER BY 2
"""

ROWS = "SELECT n_live_tup, schemaname || '.' || relname FROM pg_stat_user_tables ORDER BY 2"

# Connections that may have written what the server has not counted yet: it does so seconds later, or at their end.
UNCOUNTED = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
AND backend_type = 'client backend' AND state_change > now() - interval '12 seconds'
"""

# Whether a new database can be made and take the name of {name}: the right to create one, the old one's ownership, and
# no settings of other roles in it that only a superuser could set again.
MAY_SWAP = """
SELECT (r.rolsuper OR r.rolcreatedb) AND pg_has_role(d.datdba, 'USAGE')
   AND (r.rolsuper OR NOT EXISTS (SELECT FROM pg_db_role_setting s WHERE s.setdatabase = d.oid AND s.setrole <> 0))
FROM pg_database d, pg_roles r WHERE d.datname = {name} AND r.rolname = current_user
"""

MAY_CREATE = "SELECT rolsuper OR rolcreatedb FROM pg_roles WHERE rolname = current_user"

WHOLE_SIZE = "SELECT pg_database_size(current_database())"

# Tables that nobody else may write to just now, and whether nobody may read them either.
LOCKS = """
SELECT bool_or(l.mode = 'AccessExclusiveLock'), c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND l.pid <> pg_backend_pid() AND c.relkind IN ('r', 'p', 'm') AND l.database =
      (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock') GROUP BY c.relname ORDER BY 2
"""

# Of whom the role may end: one more, such as autovacuum's, and the statement fails. What is left, DROP DATABASE names.
END_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name} AND pid <> pg_backend_pid()"
    " AND pg_has_role(usesysid, 'USAGE')"
    " AND (current_setting('is_superuser') = 'on' OR NOT (SELECT rolsuper FROM pg_roles WHERE oid = usesysid))"
)

SWAP = """
BEGIN; {allow} false; COMMIT;
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name} AND pid <> pg_backend_pid();
BEGIN; ALTER DATABASE {live} RENAME TO {old}; ALTER DATABASE {new} RENAME TO {live}; COMMIT;
"""

# What else an app's schema may hold beside relations, routines and types: (catalogue, its column of the namespace).
_OTHERS = " UNION ALL ".join(
    f"SELECT '{catalogue}'::regclass AS class, oid, {place} AS place FROM {catalogue}"  # noqa: S608
    for catalogue, place in (
        ("pg_collation", "collnamespace"),
        ("pg_conversion", "connamespace"),
        ("pg_operator", "oprnamespace"),
        ("pg_opclass", "opcnamespace"),
        ("pg_opfamily", "opfnamespace"),
        ("pg_ts_config", "cfgnamespace"),
        ("pg_ts_dict", "dictnamespace"),
    )
)
# Begins the transaction of a restore in place: whatever is in the database and belongs to no extension goes.
EMPTY = f"""
BEGIN;
SET lock_timeout = '60s';
SET client_min_messages = error;
DO $$
DECLARE entry record; command text;
BEGIN
  FOR entry IN
    SELECT CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
           WHEN 'f' THEN 'FOREIGN TABLE' ELSE 'TABLE' END AS kind, format('%I.%I', n.nspname, c.relname) AS name
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'S', 'f') AND {_OWN}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'i'
                      AND d.classid = 'pg_class'::regclass)
  LOOP
    EXECUTE format('DROP %s IF EXISTS %s CASCADE', entry.kind, entry.name);
  END LOOP;
  FOR entry IN
    SELECT p.oid::regprocedure::text AS name FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE {_OWN} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', entry.name);
  END LOOP;
  FOR entry IN
    SELECT format('%I.%I', n.nspname, t.typname) AS name FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
    LEFT JOIN pg_class c ON c.oid = t.typrelid
    WHERE (t.typtype IN ('e', 'd', 'r') OR c.relkind = 'c') AND {_OWN}
      AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = t.oid AND d.deptype = 'e')
  LOOP
    EXECUTE format('DROP TYPE IF EXISTS %s CASCADE', entry.name);
  END LOOP;
  FOR entry IN
    SELECT o.class, o.oid FROM ({_OTHERS}) o JOIN pg_namespace n ON n.oid = o.place
    WHERE {_OWN} AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')
  LOOP
    SELECT 'DROP ' || f.type || ' IF EXISTS ' || f.identity || ' CASCADE' INTO command
    FROM pg_identify_object(entry.class, entry.oid, 0) f;
    CONTINUE WHEN command IS NULL;  -- gone with another one
    EXECUTE command;
  END LOOP;
  FOR command IN
    SELECT format('DROP PUBLICATION %I', pubname) FROM pg_publication WHERE pg_has_role(pubowner, 'USAGE')
    UNION ALL SELECT format('DROP SERVER %I CASCADE', srvname) FROM pg_foreign_server WHERE pg_has_role(srvowner, 'USAGE')
  LOOP
    EXECUTE command;
  END LOOP;
  PERFORM lo_unlink(oid) FROM pg_largeobject_metadata;
END $$;
"""  # noqa: S608


def literal(text: str) -> str:
    """TEXT as a string constant."""
    return "'" + text.replace("'", "''") + "'"


def identifier(text: str) -> str:
    """TEXT as a name."""
    return '"' + text.replace('"', '""') + '"'

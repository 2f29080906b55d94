"""What is asked of a MySQL or MariaDB server."""

from __future__ import annotations

SIZE = "SELECT COALESCE(SUM(data_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE()"

DATA_FOLDER = "SELECT @@datadir"

WHOLE_SIZE = (
    "SELECT COALESCE(SUM(data_length + index_length), 0) FROM information_schema.tables WHERE table_schema = DATABASE()"
)

TABLES = (
    "SELECT table_name FROM information_schema.tables "
    "WHERE table_schema = '{schema}' AND table_type NOT LIKE '%VIEW' ORDER BY 1"
)
VIEWS = "SELECT table_name FROM information_schema.views WHERE table_schema = '{schema}' ORDER BY 1"
TRIGGERS = "SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = '{schema}' ORDER BY 1"
EVENTS = "SELECT event_name FROM information_schema.events WHERE event_schema = '{schema}' ORDER BY 1"
ROUTINES = (
    "SELECT routine_name FROM information_schema.routines "
    "WHERE routine_schema = '{schema}' AND routine_type = '{kind}' ORDER BY 1"
)

# Tables that were written into since a moment; nothing is known of those that were not touched since the server started.
WRITTEN_SINCE = (
    "/*!80000 SET SESSION information_schema_stats_expiry = 0 */; "
    "SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}' "
    "AND UNIX_TIMESTAMP(update_time) >= {since} ORDER BY 1"
)

# The server goes on with a statement whose client was killed. Told are this account's own, and all to one who may see them.
CONNECTIONS = "SELECT id FROM information_schema.processlist WHERE db = '{schema}' AND id <> CONNECTION_ID()"

NOT_TRANSACTIONAL = (
    "SELECT CONCAT(t.table_name, ' (', t.engine, ')') FROM information_schema.tables t "
    "JOIN information_schema.engines e ON e.engine = t.engine "
    "WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' AND e.transactions <> 'YES' ORDER BY 1"
)

CHARACTER_SET = (
    "SELECT CONCAT('CHARACTER SET ', default_character_set_name, ' COLLATE ', default_collation_name) "
    "FROM information_schema.schemata WHERE schema_name = DATABASE()"
)

# Whether this account may make the schema {schema}: by a right on everything, or on names that it matches.
MAY_CREATE = (
    "SELECT (SELECT COUNT(*) FROM information_schema.user_privileges WHERE privilege_type = 'CREATE' "
    "AND grantee = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')) "
    "+ (SELECT COUNT(*) FROM information_schema.schema_privileges WHERE privilege_type = 'CREATE' "
    "AND '{schema}' LIKE table_schema)"
)

# Columns, indexes, foreign keys, engines, views, triggers, routines; and the migrations that frameworks have recorded.
FINGERPRINT = """
SELECT 'column', table_name, column_name, column_type, is_nullable, column_default, extra, collation_name
  FROM information_schema.columns WHERE table_schema = DATABASE() ORDER BY 2, 3;
SELECT 'table', table_name, engine, table_type FROM information_schema.tables WHERE table_schema = DATABASE() ORDER BY 2;
SELECT 'index', table_name, index_name, seq_in_index, column_name, non_unique
  FROM information_schema.statistics WHERE table_schema = DATABASE() ORDER BY 2, 3, 4;
SELECT 'key', table_name, constraint_name, column_name, referenced_table_name, referenced_column_name
  FROM information_schema.key_column_usage WHERE table_schema = DATABASE() ORDER BY 2, 3, 4;
SELECT 'rule', table_name, constraint_name, update_rule, delete_rule
  FROM information_schema.referential_constraints WHERE constraint_schema = DATABASE() ORDER BY 2, 3;
SELECT 'view', table_name, MD5(view_definition) FROM information_schema.views WHERE table_schema = DATABASE() ORDER BY 2;
SELECT 'trigger', trigger_name, event_manipulation, action_timing, event_object_table, MD5(action_statement)
  FROM information_schema.triggers WHERE trigger_schema = DATABASE() ORDER BY 2;
SELECT 'routine', routine_type, routine_name, MD5(routine_definition)
  FROM information_schema.routines WHERE routine_schema = DATABASE() ORDER BY 2, 3;
SET @a = (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'alembic_version');
SET @q = IF(@a, 'SELECT version_num FROM alembic_version ORDER BY 1', 'DO 0'); PREPARE q FROM @q; EXECUTE q;
SET @d = (SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'django_migrations');
SET @q = IF(@d, 'SELECT app, name FROM django_migrations ORDER BY 1, 2', 'DO 0'); PREPARE q FROM @q; EXECUTE q;
"""


def identifier(text: str) -> str:
    """TEXT as a name."""
    return "`" + text.replace("`", "``") + "`"


def inside(text: str) -> str:
    """TEXT as it stands within quotes."""
    return text.replace("\\", "\\\\").replace("'", "''")

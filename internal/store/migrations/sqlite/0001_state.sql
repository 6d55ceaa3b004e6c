-- The first schema. Names are natural keys, since nothing can be renamed; ids tell an object from
-- one that was deleted and made again. Times are microseconds since 1970 in UTC. A limit of 0 is the
-- default. Upper bounds are wider than what the API takes: they stop bugs, not users.

-- +goose Up
CREATE TABLE meta (
  name  TEXT PRIMARY KEY,
  value BLOB NOT NULL
) STRICT;

CREATE TABLE tenants (
  name          TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 63),
  id            TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
  memory_mib    INTEGER NOT NULL CHECK (memory_mib >= 0),
  cpus          REAL NOT NULL CHECK (cpus >= 0),
  max_instances INTEGER NOT NULL CHECK (max_instances >= 0),
  revision      INTEGER NOT NULL CHECK (revision > 0),
  created_at    INTEGER NOT NULL CHECK (created_at > 0),
  updated_at    INTEGER NOT NULL CHECK (updated_at >= created_at)
) STRICT;

CREATE TABLE containers (
  tenant        TEXT NOT NULL REFERENCES tenants (name) ON DELETE CASCADE,
  name          TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
  id            TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
  isolation     TEXT NOT NULL CHECK (length(isolation) <= 63),
  memory_mib    INTEGER NOT NULL CHECK (memory_mib >= 0),
  cpus          REAL NOT NULL CHECK (cpus >= 0),
  pids          INTEGER NOT NULL CHECK (pids >= 0),
  tmp_mib       INTEGER NOT NULL CHECK (tmp_mib >= 0),
  max_instances INTEGER NOT NULL CHECK (max_instances >= 0),
  concurrency   INTEGER NOT NULL CHECK (concurrency >= 0),
  revision      INTEGER NOT NULL CHECK (revision > 0),
  created_at    INTEGER NOT NULL CHECK (created_at > 0),
  updated_at    INTEGER NOT NULL CHECK (updated_at >= created_at),
  PRIMARY KEY (tenant, name)
) STRICT;

-- active and latest are numbers of rows in versions; latest never goes down, so that no number is
-- used twice.
CREATE TABLE functions (
  tenant           TEXT NOT NULL,
  container        TEXT NOT NULL,
  name             TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 63),
  id               TEXT NOT NULL UNIQUE CHECK (length(id) = 26),
  active           INTEGER NOT NULL CHECK (active BETWEEN 0 AND latest),
  latest           INTEGER NOT NULL CHECK (latest > 0),
  secrets_revision INTEGER NOT NULL CHECK (secrets_revision >= 0),
  revision         INTEGER NOT NULL CHECK (revision > 0),
  created_at       INTEGER NOT NULL CHECK (created_at > 0),
  updated_at       INTEGER NOT NULL CHECK (updated_at >= created_at),
  PRIMARY KEY (tenant, container, name),
  FOREIGN KEY (tenant, container) REFERENCES containers (tenant, name) ON DELETE CASCADE
) STRICT;

-- activates: the version takes over when it becomes ready; a rollback takes that away.
-- secrets_revision: of the function when the version was made.
CREATE TABLE versions (
  function_id      TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
  number           INTEGER NOT NULL CHECK (number > 0),
  status           TEXT NOT NULL CHECK (status IN ('building', 'ready', 'failed')),
  activates        INTEGER NOT NULL CHECK (activates IN (0, 1)),
  manifest         TEXT NOT NULL CHECK (length(manifest) BETWEEN 2 AND 1048576),
  digest           TEXT NOT NULL CHECK (length(digest) = 71),
  secrets_revision INTEGER NOT NULL CHECK (secrets_revision >= 0),
  loaded           TEXT CHECK (length(loaded) <= 1024),
  failure          TEXT CHECK (length(failure) <= 1048576),
  created_at       INTEGER NOT NULL CHECK (created_at > 0),
  settled_at       INTEGER CHECK (settled_at >= created_at),
  PRIMARY KEY (function_id, number),
  CHECK ((status = 'building') = (settled_at IS NULL)),
  CHECK ((status = 'ready') = (loaded IS NOT NULL)),
  CHECK ((status = 'failed') = (failure IS NOT NULL))
) STRICT;

CREATE INDEX versions_building ON versions (created_at, function_id, number) WHERE status = 'building';
CREATE INDEX versions_digest ON versions (digest);

CREATE TABLE secrets (
  function_id TEXT NOT NULL REFERENCES functions (id) ON DELETE CASCADE,
  name        TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 128),
  sealed      BLOB NOT NULL CHECK (length(sealed) BETWEEN 1 AND 131072),
  updated_at  INTEGER NOT NULL CHECK (updated_at > 0),
  PRIMARY KEY (function_id, name)
) STRICT;

-- status 0: the write is being made by whoever holds the token.
CREATE TABLE idempotency_keys (
  scope       TEXT NOT NULL CHECK (length(scope) <= 255),
  key         TEXT NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  fingerprint TEXT NOT NULL CHECK (length(fingerprint) BETWEEN 1 AND 255),
  token       TEXT NOT NULL CHECK (length(token) = 26),
  status      INTEGER NOT NULL CHECK (status = 0 OR status BETWEEN 100 AND 599),
  header      TEXT NOT NULL CHECK (length(header) <= 65536),
  body        BLOB NOT NULL CHECK (length(body) <= 1048576),
  claimed_at  INTEGER NOT NULL CHECK (claimed_at > 0),
  PRIMARY KEY (scope, key)
) STRICT;

CREATE INDEX idempotency_keys_claimed ON idempotency_keys (claimed_at);

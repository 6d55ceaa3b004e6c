-- npm packages. What was deployed before this has none, so its tree is ''.

-- +goose Up

-- tree: NULL, its packages are not settled yet; '', it has none; else trees.key. lock: sha256 of the
-- package-lock.json that it was settled by. refresh: what the registry said before does not count.
ALTER TABLE versions ADD COLUMN tree TEXT DEFAULT '' CHECK (length(tree) IN (0, 64)) CHECK (tree IS NOT NULL OR status <> 'ready');
ALTER TABLE versions ADD COLUMN lock TEXT CHECK (length(lock) = 71);
ALTER TABLE versions ADD COLUMN refresh INTEGER NOT NULL DEFAULT 0 CHECK (refresh IN (0, 1));

DROP INDEX versions_building;
CREATE INDEX versions_building ON versions (created_at, function_id, number) WHERE status = 'building' AND tree IS NOT NULL;
CREATE INDEX versions_unsettled ON versions (created_at, function_id, number) WHERE status = 'building' AND tree IS NULL;
CREATE INDEX versions_tree ON versions (tree) WHERE length(tree) = 64;
CREATE INDEX versions_lock ON versions (lock) WHERE lock IS NOT NULL;

-- What is unpacked, once for all keys that differ in their dependencies only. tenant: the id of the
-- tenant that it is private to, '' shared. asked_by: the name of the tenant in whose turn it is built.
-- tree: one that asked, whose plan says what it depends on. attempts: those that
-- failed and were not the package's fault; losses: builders that ended while they had it. token: of the
-- lease, so that a builder which lost its lease publishes nothing. retry_at: when queued, not before; when
-- failed, the failure is what every deploy is told until then. waiting: why it was put off.
CREATE TABLE contents (
  id          TEXT PRIMARY KEY CHECK (length(id) = 64),
  tenant      TEXT NOT NULL CHECK (length(tenant) IN (0, 26)),
  package     TEXT NOT NULL CHECK (length(package) BETWEEN 1 AND 255),
  version     TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 255),
  integrity   TEXT NOT NULL CHECK (length(integrity) BETWEEN 1 AND 255),
  scripts     INTEGER NOT NULL CHECK (scripts IN (0, 1)),
  state       TEXT NOT NULL CHECK (state IN ('queued', 'building', 'ready', 'failed')),
  asked_by    TEXT NOT NULL CHECK (length(asked_by) <= 63),
  tree        TEXT NOT NULL CHECK (length(tree) = 64),
  attempts    INTEGER NOT NULL CHECK (attempts >= 0),
  losses      INTEGER NOT NULL CHECK (losses >= 0),
  owner       TEXT CHECK (length(owner) BETWEEN 1 AND 128),
  token       TEXT CHECK (length(token) = 26),
  lease_until INTEGER CHECK (lease_until > 0),
  retry_at    INTEGER NOT NULL CHECK (retry_at >= 0),
  waiting     TEXT CHECK (length(waiting) <= 1024),
  digest      TEXT CHECK (length(digest) = 71),
  blob_bytes  INTEGER NOT NULL CHECK (blob_bytes >= 0),
  files       INTEGER NOT NULL CHECK (files >= 0),
  bytes       INTEGER NOT NULL CHECK (bytes >= 0),
  failure     TEXT CHECK (length(failure) <= 1048576),
  created_at  INTEGER NOT NULL CHECK (created_at > 0),
  built_at    INTEGER CHECK (built_at >= created_at),
  used_at     INTEGER NOT NULL CHECK (used_at >= created_at),
  CHECK ((state = 'building') = (owner IS NOT NULL)),
  CHECK ((state = 'building') = (token IS NOT NULL)),
  CHECK ((state = 'building') = (lease_until IS NOT NULL)),
  CHECK ((state = 'ready') = (digest IS NOT NULL)),
  CHECK ((state = 'ready') = (built_at IS NOT NULL)),
  CHECK ((state = 'failed') = (failure IS NOT NULL))
) STRICT;

CREATE INDEX contents_queued ON contents (scripts, asked_by, created_at, id) WHERE state = 'queued';
CREATE INDEX contents_building ON contents (lease_until) WHERE state = 'building';
CREATE INDEX contents_failed ON contents (retry_at) WHERE state = 'failed';
CREATE INDEX contents_package ON contents (package, version, id);
CREATE INDEX contents_digest ON contents (digest) WHERE digest IS NOT NULL;

-- What must be ready before a content with scripts is built: its dependencies and theirs, less its cycle.
CREATE TABLE content_needs (
  content TEXT NOT NULL REFERENCES contents (id) ON DELETE CASCADE,
  needs   TEXT NOT NULL REFERENCES contents (id),
  PRIMARY KEY (content, needs)
) STRICT, WITHOUT ROWID;

CREATE INDEX content_needs_needs ON content_needs (needs, content);

-- When a tenant last had its turn at the builders.
CREATE TABLE build_turns (
  tenant TEXT NOT NULL CHECK (length(tenant) <= 63),
  at     INTEGER NOT NULL CHECK (at > 0),
  PRIMARY KEY (tenant)
) STRICT;

CREATE TABLE packages (
  key     TEXT PRIMARY KEY CHECK (length(key) = 64),
  content TEXT NOT NULL REFERENCES contents (id),
  tenant  TEXT NOT NULL CHECK (length(tenant) IN (0, 26)),
  name    TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 255),
  package TEXT NOT NULL CHECK (length(package) BETWEEN 1 AND 255),
  version TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 255)
) STRICT;

CREATE INDEX packages_content ON packages (content);
CREATE INDEX packages_package ON packages (package, version);

-- plan: what plan.Tree's Encode writes, compressed with zstd. packages: how many it has.
CREATE TABLE trees (
  key        TEXT PRIMARY KEY CHECK (length(key) = 64),
  tenant     TEXT NOT NULL CHECK (length(tenant) IN (0, 26)),
  plan       BLOB NOT NULL CHECK (length(plan) BETWEEN 1 AND 16777216),
  packages   INTEGER NOT NULL CHECK (packages >= 0),
  created_at INTEGER NOT NULL CHECK (created_at > 0),
  used_at    INTEGER NOT NULL CHECK (used_at >= created_at)
) STRICT;

CREATE TABLE tree_packages (
  tree TEXT NOT NULL REFERENCES trees (key) ON DELETE CASCADE,
  key  TEXT NOT NULL REFERENCES packages (key),
  PRIMARY KEY (tree, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX tree_packages_key ON tree_packages (key, tree);

-- The same manifest within --lock-ttl is not resolved again.
CREATE TABLE lock_cache (
  tenant   TEXT NOT NULL REFERENCES tenants (name) ON DELETE CASCADE,
  manifest TEXT NOT NULL CHECK (length(manifest) = 64),
  lock     TEXT NOT NULL CHECK (length(lock) = 71),
  at       INTEGER NOT NULL CHECK (at > 0),
  PRIMARY KEY (tenant, manifest)
) STRICT;

CREATE INDEX lock_cache_at ON lock_cache (at);
CREATE INDEX lock_cache_lock ON lock_cache (lock);

CREATE TABLE revocations (
  package TEXT NOT NULL CHECK (length(package) BETWEEN 1 AND 255),
  version TEXT NOT NULL CHECK (length(version) BETWEEN 1 AND 255),
  reason  TEXT NOT NULL CHECK (length(reason) <= 4096),
  at      INTEGER NOT NULL CHECK (at > 0),
  PRIMARY KEY (package, version)
) STRICT;

-- scope: '@acme', or '' for the packages without one that are this tenant's. sealed: the token.
CREATE TABLE registries (
  tenant     TEXT NOT NULL REFERENCES tenants (name) ON DELETE CASCADE,
  scope      TEXT NOT NULL CHECK (length(scope) BETWEEN 0 AND 255),
  url        TEXT NOT NULL CHECK (length(url) BETWEEN 1 AND 2048),
  sealed     BLOB NOT NULL CHECK (length(sealed) BETWEEN 1 AND 131072),
  updated_at INTEGER NOT NULL CHECK (updated_at > 0),
  PRIMARY KEY (tenant, scope)
) STRICT;

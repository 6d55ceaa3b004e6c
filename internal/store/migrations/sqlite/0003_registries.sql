-- +goose Up

-- What a registry's row was before: named, and with a token that may be the empty one.
-- closed: the scope had a registry and has none now. Its packages are taken from nowhere, since at the
-- public registry anybody may have published the same names meanwhile.
ALTER TABLE registries ADD COLUMN token INTEGER NOT NULL DEFAULT 1 CHECK (token IN (0, 1));
ALTER TABLE registries ADD COLUMN closed INTEGER NOT NULL DEFAULT 0 CHECK (closed IN (0, 1));

-- The registries that the lock was made by: of a tenant that changed them since, it says nothing.
ALTER TABLE lock_cache ADD COLUMN registries TEXT NOT NULL DEFAULT '' CHECK (length(registries) IN (0, 64));


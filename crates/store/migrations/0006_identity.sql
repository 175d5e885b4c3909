-- Accounts, what they log in with, and who changed what. Secrets are stored as digests only.
CREATE TABLE account (
    login          TEXT    NOT NULL PRIMARY KEY,
    password_hash  TEXT    NOT NULL,             -- argon2id, PHC string
    created_at     INTEGER NOT NULL
) STRICT;

-- At most one row: the one-time link that makes the first administrator.
CREATE TABLE setup_token (
    id          INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    digest      TEXT    NOT NULL,                -- SHA-256, lower-case hexadecimal
    created_at  INTEGER NOT NULL
) STRICT;

CREATE TABLE token (
    id            TEXT    NOT NULL PRIMARY KEY,
    digest        TEXT    NOT NULL,              -- SHA-256, lower-case hexadecimal
    kind          TEXT    NOT NULL,              -- account, project or engine
    account       TEXT             REFERENCES account(login) ON DELETE CASCADE,
    label         TEXT    NOT NULL,
    project       TEXT             REFERENCES project(name) ON DELETE CASCADE,
    permissions   TEXT    NOT NULL,              -- JSON list; empty for an account's token: it may do what the account may
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER,
    revoked_at    INTEGER,
    last_used_at  INTEGER
) STRICT;
CREATE INDEX token_by_account ON token (account, created_at);
CREATE INDEX token_by_expiry ON token (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE web_session (
    id          TEXT    NOT NULL PRIMARY KEY,
    digest      TEXT    NOT NULL,
    account     TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;

-- Written once, never changed. `project` is plain text: the record outlives the project.
CREATE TABLE audit (
    id          INTEGER NOT NULL PRIMARY KEY,
    at          INTEGER NOT NULL,
    login       TEXT    NOT NULL,
    credential  TEXT    NOT NULL,
    action      TEXT    NOT NULL,                -- dotted, such as project.create
    project     TEXT,
    target      TEXT    NOT NULL,
    result      TEXT    NOT NULL                 -- done, or the code of the problem
) STRICT;
CREATE INDEX audit_by_project ON audit (project, id);

-- People: organisations, who belongs to them in which role, and what one may log in with besides a password.
CREATE TABLE organisation (
    name          TEXT    NOT NULL PRIMARY KEY,
    display_name  TEXT    NOT NULL DEFAULT '',
    created_at    INTEGER NOT NULL
) STRICT;
INSERT INTO organisation (name, created_at) VALUES ('main', CAST(unixepoch() AS INTEGER) * 1000);

CREATE TABLE member (
    organisation  TEXT    NOT NULL REFERENCES organisation(name) ON DELETE CASCADE,
    account       TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    role          TEXT    NOT NULL,              -- viewer, developer, maintainer or owner
    added_at      INTEGER NOT NULL,
    PRIMARY KEY (organisation, account)
) STRICT;
CREATE INDEX member_by_account ON member (account);

-- Roles that replace the organisation's for one project, and for one environment of it; `none` takes the access away.
CREATE TABLE project_role (
    project       TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    account       TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    role          TEXT    NOT NULL,
    PRIMARY KEY (project, account)
) STRICT;

CREATE TABLE environment_role (
    project       TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    account       TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    role          TEXT    NOT NULL,
    PRIMARY KEY (project, environment, account),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;

-- One-time links into an organisation.
CREATE TABLE invitation (
    id            TEXT    NOT NULL PRIMARY KEY,
    digest        TEXT    NOT NULL,              -- SHA-256 of the link's token, lower-case hexadecimal
    organisation  TEXT    NOT NULL REFERENCES organisation(name) ON DELETE CASCADE,
    role          TEXT    NOT NULL,
    address       TEXT    NOT NULL DEFAULT '',   -- whom it was meant for, as its maker wrote it
    invited_by    TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    used_at       INTEGER,
    used_by       TEXT
) STRICT;
CREATE INDEX invitation_by_organisation ON invitation (organisation, created_at);

-- One-time links that set a new password.
CREATE TABLE password_link (
    id            TEXT    NOT NULL PRIMARY KEY,
    digest        TEXT    NOT NULL,
    account       TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    made_by       TEXT    NOT NULL,
    created_at    INTEGER NOT NULL,
    expires_at    INTEGER NOT NULL,
    used_at       INTEGER
) STRICT;

ALTER TABLE account ADD COLUMN display_name TEXT NOT NULL DEFAULT '';
ALTER TABLE account ADD COLUMN language TEXT;                           -- en or ko; NULL: the browser's
ALTER TABLE account ADD COLUMN zone TEXT;                               -- IANA name; NULL: the browser's
ALTER TABLE account ADD COLUMN totp_secret TEXT;                        -- sealed; NULL: no second factor
ALTER TABLE account ADD COLUMN totp_confirmed INTEGER NOT NULL DEFAULT 0;
ALTER TABLE account ADD COLUMN totp_used_step INTEGER NOT NULL DEFAULT 0; -- a code counts once
ALTER TABLE account ADD COLUMN recovery TEXT NOT NULL DEFAULT '[]';     -- JSON: digests of codes that are left
ALTER TABLE account ADD COLUMN disabled_at INTEGER;
ALTER TABLE account ADD COLUMN administrator INTEGER NOT NULL DEFAULT 0; -- of the instance

-- Who was there before could do everything.
UPDATE account SET administrator = 1;
INSERT INTO member (organisation, account, role, added_at) SELECT 'main', login, 'owner', created_at FROM account;

ALTER TABLE project ADD COLUMN organisation TEXT NOT NULL DEFAULT 'main';
CREATE INDEX project_by_organisation ON project (organisation, name);

-- 1: takes the permission deploy-protected, and releases wait for a person.
ALTER TABLE environment ADD COLUMN protected INTEGER NOT NULL DEFAULT 0;

ALTER TABLE web_session ADD COLUMN user_agent TEXT NOT NULL DEFAULT '';
ALTER TABLE web_session ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE web_session ADD COLUMN last_seen_at INTEGER;
ALTER TABLE web_session ADD COLUMN authenticated_at INTEGER;           -- when the password was given last
CREATE INDEX web_session_by_account ON web_session (account, created_at);

ALTER TABLE token ADD COLUMN environment TEXT;                          -- the only environment, in `project`
-- What a token that deploys or administers could do before, it still may.
UPDATE token SET permissions = json_insert(permissions, '$[#]', 'configure')
    WHERE kind = 'project' AND EXISTS (SELECT 1 FROM json_each(permissions) WHERE value = 'deploy');
UPDATE token SET permissions = json_insert(permissions, '$[#]', 'delete')
    WHERE kind = 'project' AND EXISTS (SELECT 1 FROM json_each(permissions) WHERE value = 'administer');

ALTER TABLE audit ADD COLUMN organisation TEXT;                         -- whose owners read it; NULL: the instance's
ALTER TABLE audit ADD COLUMN address TEXT NOT NULL DEFAULT '';          -- where the request came from
ALTER TABLE audit ADD COLUMN detail TEXT NOT NULL DEFAULT '';
UPDATE audit SET organisation = 'main' WHERE project IS NOT NULL;
CREATE INDEX audit_by_organisation ON audit (organisation, id);
CREATE INDEX audit_by_login ON audit (login, id);

-- The audit log grows and never changes.
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit log is append-only');
END;

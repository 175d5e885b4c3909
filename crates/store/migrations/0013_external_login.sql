-- Logins at providers (OpenID Connect, GitHub), and the roles that groups there give here.
CREATE TABLE external_login (
    provider      TEXT    NOT NULL,
    subject       TEXT    NOT NULL,              -- the provider's name for the person; never changes there
    account       TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    name          TEXT    NOT NULL,              -- what the person is called there, for people
    tied_at       INTEGER NOT NULL,
    last_used_at  INTEGER NOT NULL,
    PRIMARY KEY (provider, subject),
    UNIQUE (provider, account)
) STRICT;
CREATE INDEX external_login_by_account ON external_login (account);

-- Written anew at each login; gone with the login they came by.
CREATE TABLE group_role (
    account       TEXT    NOT NULL,
    organisation  TEXT    NOT NULL REFERENCES organisation(name) ON DELETE CASCADE,
    provider      TEXT    NOT NULL,
    role          TEXT    NOT NULL,              -- as in `member`
    given_at      INTEGER NOT NULL,
    rank          INTEGER NOT NULL GENERATED ALWAYS AS
        (CASE role WHEN 'owner' THEN 4 WHEN 'maintainer' THEN 3 WHEN 'developer' THEN 2 ELSE 1 END) VIRTUAL,
    PRIMARY KEY (account, organisation, provider),
    FOREIGN KEY (provider, account) REFERENCES external_login(provider, account) ON DELETE CASCADE
) STRICT;
CREATE INDEX group_role_by_organisation ON group_role (organisation, account);

-- What counts, one row per member: the highest of what people gave and what groups give. Two plain selections, so that
-- what is asked of it is looked up by index in both.
CREATE VIEW membership (organisation, account, role, added_at, by_group) AS
SELECT member.organisation, member.account,
       coalesce((SELECT higher.role FROM group_role higher
                 WHERE higher.account = member.account AND higher.organisation = member.organisation
                     AND higher.rank > CASE member.role WHEN 'owner' THEN 4 WHEN 'maintainer' THEN 3
                                                        WHEN 'developer' THEN 2 ELSE 1 END
                 ORDER BY higher.rank DESC LIMIT 1), member.role),
       member.added_at, 0
FROM member
UNION ALL
SELECT one.organisation, one.account, one.role, one.given_at, 1
FROM group_role one
WHERE NOT EXISTS (SELECT 1 FROM member
                  WHERE member.organisation = one.organisation AND member.account = one.account)
  AND NOT EXISTS (SELECT 1 FROM group_role other
                  WHERE other.account = one.account AND other.organisation = one.organisation
                      AND (other.rank > one.rank OR (other.rank = one.rank AND other.provider < one.provider)));

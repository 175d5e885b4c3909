-- What people say about a project, who keeps which projects at hand, and what pages look up by.
ALTER TABLE project ADD COLUMN summary     TEXT NOT NULL DEFAULT '';   -- one line
ALTER TABLE project ADD COLUMN description TEXT NOT NULL DEFAULT '';   -- plain text
ALTER TABLE project ADD COLUMN owner       TEXT;                       -- a login, as text: it outlives account and membership
ALTER TABLE project ADD COLUMN contacts    TEXT NOT NULL DEFAULT '[]'; -- JSON: label and address of each

CREATE TABLE favourite (
    account    TEXT    NOT NULL REFERENCES account(login) ON DELETE CASCADE,
    project    TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    added_at   INTEGER NOT NULL,
    PRIMARY KEY (account, project)
) STRICT, WITHOUT ROWID;
CREATE INDEX favourite_by_project ON favourite (project);

CREATE INDEX trigger_by_reference ON trigger (project, reference, id);
CREATE INDEX intent_by_environment ON intent (project, environment, id);

-- Environments whose visitors get a page instead of the service; without a row they get the service.
CREATE TABLE maintenance (
    project      TEXT    NOT NULL,
    environment  TEXT    NOT NULL,
    since        INTEGER NOT NULL,
    by           TEXT    NOT NULL,
    message      TEXT,
    until_at     INTEGER,                            -- announced; nothing ends by itself
    PRIMARY KEY (project, environment),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

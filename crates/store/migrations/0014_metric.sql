-- What services used and answered, packed: one row per service, resolution and block of time.
CREATE TABLE metric (
    project       TEXT    NOT NULL,
    environment   TEXT    NOT NULL,
    service       TEXT    NOT NULL,
    step_seconds  INTEGER NOT NULL,                  -- 15, 60 or 900
    start         INTEGER NOT NULL,                  -- of the block, in seconds since 1970
    samples       BLOB    NOT NULL,
    PRIMARY KEY (project, environment, service, step_seconds, start),
    FOREIGN KEY (project, environment) REFERENCES environment(project, name) ON DELETE CASCADE
) STRICT;
CREATE INDEX metric_start ON metric (step_seconds, start);

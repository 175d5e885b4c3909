-- What lists of projects, and the home page, ask for: how bad an environment is, in an order that can be sorted by, and
-- when a project last ran something.
ALTER TABLE environment ADD COLUMN severity INTEGER NOT NULL DEFAULT 0; -- 0 idle, 1 live, 2 moving, 3 retrying, 4 degraded, 5 failed, 6 blocked

UPDATE environment SET severity = CASE
    WHEN hindrance IS NOT NULL THEN 6
    ELSE CASE json_extract(status, '$.is')
        WHEN 'blocked' THEN 6
        WHEN 'retrying' THEN 3
        WHEN 'reconciled' THEN CASE json_extract(status, '$.status.is')
            WHEN 'live' THEN 1
            WHEN 'moving' THEN 2
            WHEN 'degraded' THEN 4
            WHEN 'failed' THEN 5
            ELSE 0
        END
        ELSE 0
    END
END;

CREATE INDEX environment_by_severity ON environment (project, severity);
CREATE INDEX environment_in_trouble ON environment (severity) WHERE severity >= 3;
CREATE INDEX run_activity ON run (project, number, created_at, state);
CREATE INDEX run_failed ON run (finished_at) WHERE state = 'failed';
CREATE INDEX rollout_moving ON rollout (started_at) WHERE outcome = 'moving';

-- How far a rollout is between ready replicas and all the requests, what a person said about it, and what it took the
-- traffic from.
ALTER TABLE rollout ADD COLUMN progress TEXT;    -- JSON; NULL at the start
ALTER TABLE rollout ADD COLUMN decision TEXT;    -- JSON: promote or abort, and by whom
ALTER TABLE rollout ADD COLUMN replaced INTEGER; -- the revision that had the traffic before

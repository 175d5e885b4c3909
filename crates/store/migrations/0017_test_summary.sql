-- What the test runners in a step said about their tests.
ALTER TABLE step ADD COLUMN tests TEXT; -- JSON; NULL: nothing yet, or no runner that is known

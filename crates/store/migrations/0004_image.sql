-- Images. A blob's bytes are a file named by its digest; it is visible only through the repositories that link it.
CREATE TABLE image_blob (
    digest      TEXT    NOT NULL PRIMARY KEY,
    size        INTEGER NOT NULL,           -- bytes
    created_at  INTEGER NOT NULL            -- milliseconds since 1970
) STRICT;

CREATE TABLE image_repository_blob (
    project     TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    repository  TEXT    NOT NULL,
    digest      TEXT    NOT NULL REFERENCES image_blob(digest),
    linked_at   INTEGER NOT NULL,
    PRIMARY KEY (project, repository, digest)
) STRICT, WITHOUT ROWID;
CREATE INDEX image_repository_blob_digest ON image_repository_blob (digest);

CREATE TABLE image_manifest (
    project        TEXT    NOT NULL REFERENCES project(name) ON DELETE CASCADE,
    repository     TEXT    NOT NULL,
    digest         TEXT    NOT NULL,
    media_type     TEXT    NOT NULL,
    subject        TEXT,                    -- the digest it refers to; that manifest need not exist
    artifact_type  TEXT,
    annotations    TEXT    NOT NULL,        -- a JSON object of strings
    pushed_at      INTEGER NOT NULL,
    content        BLOB    NOT NULL,        -- exactly as it was pushed; last, since it may be large
    PRIMARY KEY (project, repository, digest)
) STRICT;
CREATE INDEX image_manifest_subject ON image_manifest (project, repository, subject);

-- What a manifest is made of: blobs, and for an index the manifests it lists.
CREATE TABLE image_reference (
    project     TEXT    NOT NULL,
    repository  TEXT    NOT NULL,
    manifest    TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    kind        TEXT    NOT NULL CHECK (kind IN ('blob', 'manifest')),
    PRIMARY KEY (project, repository, manifest, digest),
    FOREIGN KEY (project, repository, manifest)
        REFERENCES image_manifest(project, repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX image_reference_digest ON image_reference (project, repository, digest);

CREATE TABLE image_tag (
    project     TEXT    NOT NULL,
    repository  TEXT    NOT NULL,
    name        TEXT    NOT NULL,
    digest      TEXT    NOT NULL,
    moved_at    INTEGER NOT NULL,
    PRIMARY KEY (project, repository, name),
    FOREIGN KEY (project, repository, digest)
        REFERENCES image_manifest(project, repository, digest) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX image_tag_digest ON image_tag (project, repository, digest);

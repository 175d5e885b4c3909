//! The stylesheet, the script and the icon: part of the binary, served under names that change with their content.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};

/// One file.
struct Asset {
    /// Its name with a digest of its content, such as `naru-0123456789abcdef.css`.
    name: String,
    media_type: &'static str,
    content: &'static [u8],
}

impl Asset {
    fn new(ending: &str, media_type: &'static str, content: &'static [u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        Self { name: format!("naru-{:016x}.{ending}", hasher.finish()), media_type, content }
    }
}

static ASSETS: LazyLock<[Asset; 3]> = LazyLock::new(|| {
    [
        Asset::new("css", "text/css; charset=utf-8", include_bytes!("../../assets/naru.css")),
        Asset::new("js", "text/javascript; charset=utf-8", include_bytes!("../../assets/naru.js")),
        Asset::new("svg", "image/svg+xml", include_bytes!("../../assets/naru.svg")),
    ]
});

/// Where the stylesheet is.
pub(crate) fn stylesheet() -> String {
    format!("/assets/{}", ASSETS[0].name)
}

/// Where the script is.
pub(crate) fn script() -> String {
    format!("/assets/{}", ASSETS[1].name)
}

/// Where the icon is.
pub(crate) fn icon() -> String {
    format!("/assets/{}", ASSETS[2].name)
}

/// One file, by its name with the digest. Whoever has it keeps it: another content has another name.
pub(crate) async fn show(Path(name): Path<String>) -> Response {
    let Some(asset) = ASSETS.iter().find(|asset| asset.name == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let headers = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ];
    (headers, asset.content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_load_stays_small() {
        let bytes: usize = ASSETS.iter().map(|asset| asset.content.len()).sum();
        assert!(bytes < 100_000, "{bytes} bytes of assets leave no room for the page");
    }
}

//! The dashboard: files that are part of the program, and the headers that keep a browser from
//! anything else.

use super::Gateway;
use super::problem::{self, Problem};
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::LazyLock;

/// Everything comes from the broker itself, and nothing is inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
     connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// A file of the dashboard.
struct File {
    path: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
}

const PAGE: File = File {
    path: "/",
    content_type: "text/html; charset=utf-8",
    bytes: include_bytes!("../../ui/dist/index.html"),
};

/// A module of the dashboard's code.
const fn module(path: &'static str, bytes: &'static [u8]) -> File {
    File { path, content_type: "text/javascript; charset=utf-8", bytes }
}

/// What the page loads, some of it when a part of the dashboard is first opened.
const FILES: [File; 5] = [
    module("/app.js", include_bytes!("../../ui/dist/app.js")),
    module("/schedules.js", include_bytes!("../../ui/dist/schedules.js")),
    module("/settings.js", include_bytes!("../../ui/dist/settings.js")),
    File {
        path: "/app.css",
        content_type: "text/css; charset=utf-8",
        bytes: include_bytes!("../../ui/dist/app.css"),
    },
    File {
        path: "/icon.svg",
        content_type: "image/svg+xml",
        bytes: include_bytes!("../../ui/dist/icon.svg"),
    },
];

/// One for all files: they are of one build.
static TAG: LazyLock<HeaderValue> = LazyLock::new(|| {
    let mut hasher = blake3::Hasher::new();
    for file in FILES.iter().chain([&PAGE]) {
        hasher.update(file.bytes);
    }
    let hash = hasher.finalize().to_hex();
    // Weak, because a packed file has it too.
    HeaderValue::try_from(format!("W/\"{}\"", &hash[..16])).expect("hex digits may stand in a header")
});

/// The routes of the dashboard. Its pages have addresses of their own, which all get the same file.
pub(super) fn routes() -> Router<Gateway> {
    FILES.iter().chain([&PAGE]).fold(Router::new(), |routes, file| {
        routes.route(file.path, get(move |headers: HeaderMap| async move { serve(file, &headers) }))
    })
}

/// A path that no route has: an address inside the dashboard if a browser asks for a page, a problem
/// otherwise.
pub(super) async fn page_or_problem(request: Request) -> Result<Response, Problem> {
    let accept = request.headers().get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    let is_page = accept.is_some_and(|accept| accept.contains("text/html"));
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    if is_read && is_page && !request.uri().path().starts_with("/v1/") {
        return Ok(serve(&PAGE, request.headers()));
    }
    Err(problem::no_such_path().await)
}

fn serve(file: &'static File, headers: &HeaderMap) -> Response {
    let has_it = headers.get(header::IF_NONE_MATCH).is_some_and(|known| known == *TAG);
    let mut response =
        if has_it { StatusCode::NOT_MODIFIED.into_response() } else { file.bytes.into_response() };
    let fixed = |value: &'static str| HeaderValue::from_static(value);
    let said: [(HeaderName, HeaderValue); 7] = [
        (header::CONTENT_TYPE, fixed(file.content_type)),
        (header::ETAG, TAG.clone()),
        // Asked for anew each time, and answered 304: a new broker never runs with an old page.
        (header::CACHE_CONTROL, fixed("no-cache")),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
        (HeaderName::from_static("cross-origin-opener-policy"), fixed("same-origin")),
    ];
    for (name, value) in said {
        response.headers_mut().insert(name, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_loads_what_is_embedded_and_has_nothing_inline() {
        let page = std::str::from_utf8(PAGE.bytes).unwrap();
        let code = std::str::from_utf8(FILES[0].bytes).unwrap();
        for File { path, .. } in &FILES {
            let is_loaded =
                page.contains(&format!("\"{path}\"")) || code.contains(&format!("import(`.{path}`)"));
            assert!(is_loaded, "nothing loads {path}");
        }
        for inline in ["<style", " style=", " onload=", "<script>", "http://", "https://"] {
            assert!(!page.contains(inline), "{inline}");
        }
    }

    #[test]
    fn who_has_the_files_gets_them_no_second_time() {
        let mut headers = HeaderMap::new();
        assert_eq!(serve(&PAGE, &headers).status(), StatusCode::OK);
        headers.insert(header::IF_NONE_MATCH, TAG.clone());
        assert_eq!(serve(&PAGE, &headers).status(), StatusCode::NOT_MODIFIED);
        headers.insert(header::IF_NONE_MATCH, HeaderValue::from_static("W/\"0\""));
        assert_eq!(serve(&PAGE, &headers).status(), StatusCode::OK);
    }
}

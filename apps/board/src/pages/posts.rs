//! Reading, writing, editing, deleting and searching posts.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Extension, Form, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{Frame, render, within};
use crate::failure::Failure;
use crate::store::{Account, PAGE, Post};
use crate::visit::Visitor;
use crate::{Board, time};

const TITLE: usize = 120;
const BODY: usize = 10_000;
/// Characters of a search; more than anybody types.
const SEARCH: usize = 100;

/// Page and words of the list.
#[derive(Debug, Deserialize)]
pub struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    page: Option<String>,
}

/// What was typed into a post.
#[derive(Debug, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    title: String,
    #[serde(default)]
    body: String,
}

/// A post as pages show it.
struct Shown {
    id: i64,
    nickname: String,
    title: String,
    body: String,
    ago: String,
    written: String,
    machine: String,
    edited: bool,
}

impl Shown {
    fn new(post: Post, frame: &Frame) -> Self {
        Self {
            id: post.id,
            nickname: post.nickname,
            title: post.title,
            body: post.body,
            ago: frame.language.ago(time::now() - post.created_at),
            written: format!("{} UTC", time::written(post.created_at)),
            machine: time::machine(post.created_at),
            edited: post.updated_at > post.created_at,
        }
    }
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    frame: Frame,
    posts: Vec<Shown>,
    count: String,
    position: String,
    newer: Option<String>,
    older: Option<String>,
}

#[derive(Template)]
#[template(path = "post.html")]
struct PostPage {
    frame: Frame,
    post: Shown,
    mine: bool,
}

#[derive(Template)]
#[template(path = "write.html")]
struct WritePage {
    frame: Frame,
    heading: &'static str,
    button: &'static str,
    action: String,
    back: String,
    typed: Typed,
    bad_title: Option<&'static str>,
    bad_body: Option<&'static str>,
}

/// The newest posts, or those that a search finds.
pub async fn list(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Query(asked): Query<Asked>,
) -> Result<Response, Failure> {
    let search: String = asked.q.trim().chars().take(SEARCH).collect();
    let wanted = asked.page.and_then(|page| page.parse::<i64>().ok()).unwrap_or(1).max(1);
    let listing = board.store.posts(&search, wanted).await?;
    let pages = (listing.total + PAGE - 1).div_euclid(PAGE).max(1);
    if wanted > pages {
        return Ok(Redirect::to(&address(&search, pages)).into_response());
    }
    let mut frame = Frame::new(&visitor, &address(&search, wanted));
    let page = ListPage {
        count: frame.language.posts(listing.total),
        position: frame.language.page(wanted, pages),
        newer: (wanted > 1).then(|| address(&search, wanted - 1)),
        older: (wanted < pages).then(|| address(&search, wanted + 1)),
        posts: listing.posts.into_iter().map(|post| Shown::new(post, &frame)).collect(),
        frame: {
            frame.search = search;
            frame
        },
    };
    render(StatusCode::OK, &page)
}

/// One post.
pub async fn show(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<i64>,
) -> Result<Response, Failure> {
    let post = board.store.post(id).await?.ok_or(Failure::NotFound)?;
    let mine = visitor.account.as_ref().is_some_and(|account| account.id == post.account);
    let frame = Frame::new(&visitor, &format!("/posts/{id}"));
    render(StatusCode::OK, &PostPage { post: Shown::new(post, &frame), frame, mine })
}

/// The empty form for a post.
pub async fn new(Extension(visitor): Extension<Visitor>) -> Result<Response, Failure> {
    if visitor.account.is_none() {
        return Ok(Redirect::to("/login").into_response());
    }
    write_page(&visitor, None, Typed::default(), StatusCode::OK)
}

/// Publishes a post.
pub async fn create(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Form(typed): Form<Typed>,
) -> Result<Response, Failure> {
    let Some(account) = &visitor.account else { return Ok(Redirect::to("/login").into_response()) };
    if !acceptable(&typed) {
        return write_page(&visitor, None, typed, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let title = typed.title.trim().to_owned();
    let id = board.store.add_post(account.id, title, typed.body, time::now()).await?;
    Ok(Redirect::to(&format!("/posts/{id}")).into_response())
}

/// The form with a post of one's own.
pub async fn edit(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<i64>,
) -> Result<Response, Failure> {
    let (_, post) = own(&board, &visitor, id).await?;
    write_page(&visitor, Some(id), Typed { title: post.title, body: post.body }, StatusCode::OK)
}

/// Changes a post of one's own.
pub async fn update(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<i64>,
    Form(typed): Form<Typed>,
) -> Result<Response, Failure> {
    let (account, _) = own(&board, &visitor, id).await?;
    if !acceptable(&typed) {
        return write_page(&visitor, Some(id), typed, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let title = typed.title.trim().to_owned();
    if !board.store.change_post(id, account.id, title, typed.body, time::now()).await? {
        return Err(Failure::NotFound);
    }
    Ok(Redirect::to(&format!("/posts/{id}")).into_response())
}

/// Deletes a post of one's own.
pub async fn delete(
    State(board): State<Arc<Board>>,
    Extension(visitor): Extension<Visitor>,
    Path(id): Path<i64>,
) -> Result<Response, Failure> {
    let (account, _) = own(&board, &visitor, id).await?;
    if !board.store.delete_post(id, account.id).await? {
        return Err(Failure::NotFound);
    }
    Ok(Redirect::to("/").into_response())
}

/// The visitor and a post that they wrote.
async fn own(board: &Board, visitor: &Visitor, id: i64) -> Result<(Account, Post), Failure> {
    let post = board.store.post(id).await?.ok_or(Failure::NotFound)?;
    match &visitor.account {
        Some(account) if account.id == post.account => Ok((account.clone(), post)),
        _ => Err(Failure::NotYours),
    }
}

fn acceptable(typed: &Typed) -> bool {
    within(&typed.title, TITLE) && within(&typed.body, BODY)
}

/// The form, with complaints unless it is shown for the first time.
fn write_page(
    visitor: &Visitor,
    id: Option<i64>,
    typed: Typed,
    status: StatusCode,
) -> Result<Response, Failure> {
    let words = visitor.language.words();
    let complain = status != StatusCode::OK;
    let here = id.map_or_else(|| "/posts/new".to_owned(), |id| format!("/posts/{id}/edit"));
    let page = WritePage {
        frame: Frame::new(visitor, &here),
        heading: if id.is_some() { words.edit } else { words.write },
        button: if id.is_some() { words.save } else { words.publish },
        action: id.map_or_else(|| "/posts".to_owned(), |id| format!("/posts/{id}")),
        back: id.map_or_else(|| "/".to_owned(), |id| format!("/posts/{id}")),
        bad_title: (complain && !within(&typed.title, TITLE)).then_some(words.bad_title),
        bad_body: (complain && !within(&typed.body, BODY)).then_some(words.bad_body),
        typed,
    };
    render(status, &page)
}

/// The list's address for words and a page.
fn address(search: &str, page: i64) -> String {
    let mut query = Vec::new();
    if !search.is_empty() {
        query.push(format!("q={}", escaped(search)));
    }
    if page > 1 {
        query.push(format!("page={page}"));
    }
    if query.is_empty() { "/".to_owned() } else { format!("/?{}", query.join("&")) }
}

/// Percent-encodes everything but unreserved characters (RFC 3986, 2.3).
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

//! What is said about a project: beneath its status, and the form of the settings that changes it. Whatever people wrote
//! is text; of it, only links over TLS become links.

use std::fmt::Write as _;

use askama::Template;
use axum::extract::{Form, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use naru_model::about::{AboutError, Contact, is_link};
use naru_model::api::ProjectChange;
use naru_store::project::Project;
use serde::Deserialize;

use crate::Cx;
use crate::access::{Asking, Chosen};
use crate::failure::Result;
use crate::routes::about::{Refused, changed};

use super::html::{Html, escape, escape_into};
use super::language::words;
use super::settings;
use super::shell::Shell;

/// Members that are offered as owners; any other can be typed.
const OFFERED: u32 = 100;

words! {
    more: "More about it", "더 보기";
    owner: "Owner", "담당자";
    contacts: "Contacts", "연락처";
    gone: "not a member any more", "지금은 구성원이 아님";
    nothing: "Nobody has said yet what this project is for and whom to ask.",
        "무엇을 하는 프로젝트인지, 어디에 물어볼지 아직 적혀 있지 않아요.";
    say_so: "Say it in the settings", "설정에서 적기";
    summary: "What it is for, in one line", "한 줄 소개";
    summary_rule: "At most 120 characters; it is shown in lists and found by search", "120자 이내. 목록에 보이고 검색돼요";
    summary_wrong: "This is no single line of at most 120 characters that can be read", "120자 이내의 읽을 수 있는 한 줄이 아니에요";
    description: "More about it (optional)", "자세한 소개 (선택)";
    description_rule: "Plain text of at most 4,000 characters; an empty line begins a paragraph, and https:// links can be clicked",
        "4,000자 이내의 텍스트. 빈 줄에서 문단이 나뉘고 https:// 링크는 누를 수 있어요";
    description_wrong: "This is longer than 4,000 characters, or has some that cannot be read", "4,000자를 넘거나 읽을 수 없는 문자가 있어요";
    owner_rule: "The login of a member of the organisation; nobody, if it stays empty", "조직 구성원의 로그인 이름. 비워 두면 담당자가 없어요";
    owner_wrong: "Nobody with this login belongs to the organisation", "이 로그인 이름의 조직 구성원이 없어요";
    contacts_rule: "One on each line, at most 8: what it is for, then an e-mail address or an https:// link, as in On call: oncall@example.com",
        "한 줄에 하나씩 8개까지. 용도와 이메일 주소 또는 https:// 링크를 적어요. 예: 당직: oncall@example.com";
    contacts_wrong(line): "Line {line} has no e-mail address and no https:// link at its end, or its label is too long",
        "{line}번째 줄 끝에 이메일 주소나 https:// 링크가 없거나 용도가 너무 길어요";
    contacts_many: "At most 8 contacts", "연락처는 8개까지예요";
    save: "Save", "저장";
}

#[derive(Template)]
#[template(path = "about.html")]
struct Shown<'a> {
    w: Words,
    project: &'a Project,
    description: Html,
    /// Whether the owner is still a member.
    owner_is_member: bool,
    may_change: bool,
}

impl Shown<'_> {
    fn says_nothing(&self) -> bool {
        let about = &self.project.about;
        about.summary.is_empty() && about.description.is_empty() && about.contacts.is_empty()
    }

    fn label(contact: &Contact) -> &str {
        if contact.label.is_empty() { &contact.address } else { &contact.label }
    }
}

/// What is said, or that nothing is.
pub(super) async fn show(cx: &Cx, shell: &Shell, project: &Project, may_change: bool) -> Result<Html> {
    let owner_is_member = match &project.about.owner {
        Some(owner) => cx.store.role_in(owner, &project.organisation).await?.is_some(),
        None => true,
    };
    let description = paragraphs(&project.about.description);
    let shown = Shown { w: Words(shell.language), project, description, owner_is_member, may_change };
    Ok(Html(shown.render().unwrap_or_default()))
}

/// Text with its paragraphs and lines; links over TLS can be followed, and tell the other side nothing of this one.
fn paragraphs(text: &str) -> Html {
    let mut out = String::new();
    for paragraph in text.split("\n\n").map(str::trim).filter(|paragraph| !paragraph.is_empty()) {
        out.push_str("<p dir=\"auto\">");
        for (number, line) in paragraph.lines().enumerate() {
            if number > 0 {
                out.push_str("<br>");
            }
            for word in line.split_inclusive(' ') {
                linked(word, &mut out);
            }
        }
        out.push_str("</p>");
    }
    Html(out)
}

/// A word, as a link if it is one; a bracket before it and the sentence's end after it stay outside.
fn linked(word: &str, out: &mut String) {
    let Some(begin) = word.find("https://") else { return escape_into(word, out) };
    let (before, rest) = word.split_at(begin);
    let link = rest.trim_end().trim_end_matches(['.', ',', ';', ':', '!', '?', ')', ']', '\'', '"']);
    if !is_link(link) {
        return escape_into(word, out);
    }
    escape_into(before, out);
    let escaped = escape(link);
    let _ = write!(out, r#"<a href="{escaped}" rel="noreferrer nofollow">{escaped}</a>"#); // a String takes everything
    escape_into(&rest[link.len()..], out);
}

/// What the form sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Typed {
    summary: String,
    description: String,
    owner: String,
    contacts: String,
}

impl Typed {
    fn of(project: &Project) -> Self {
        let about = &project.about;
        let lines: Vec<String> = about.contacts.iter().map(ToString::to_string).collect();
        Self {
            summary: about.summary.clone(),
            description: about.description.clone(),
            owner: about.owner.clone().unwrap_or_default(),
            contacts: lines.join("\n"),
        }
    }

    /// What shall be said, or what is wrong with the line of a contact.
    fn change(&self, w: Words) -> Result<ProjectChange, Wrong> {
        let lines = self.contacts.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let contacts: Result<Vec<Contact>, Wrong> = lines
            .map(|(number, line)| {
                line.parse().map_err(|_| Wrong::new("contacts", w.contacts_wrong(number + 1)))
            })
            .collect();
        Ok(ProjectChange {
            summary: Some(self.summary.clone()),
            description: Some(self.description.clone()),
            owner: Some(self.owner.clone()),
            contacts: Some(contacts?),
        })
    }
}

/// The field that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    field: &'static str,
    said: String,
}

impl Wrong {
    fn new(field: &'static str, said: impl Into<String>) -> Self {
        Self { field, said: said.into() }
    }

    /// What was refused, beside its field; what is nobody's fault stays a failure.
    fn of(w: Words, refused: Refused) -> Result<Self> {
        Ok(match refused {
            Refused::Unsayable(AboutError::Summary) => Self::new("summary", w.summary_wrong()),
            Refused::Unsayable(AboutError::Description) => Self::new("description", w.description_wrong()),
            Refused::Unsayable(_) => Self::new("contacts", w.contacts_many()),
            Refused::NoMember(_) => Self::new("owner", w.owner_wrong()),
            Refused::Failed(failure) => return Err(failure),
        })
    }
}

#[derive(Template)]
#[template(path = "about_form.html")]
struct Fields<'a> {
    w: Words,
    base: &'a str,
    typed: Typed,
    members: Vec<String>,
    wrong: Option<Wrong>,
}

impl Fields<'_> {
    /// Why this field was refused.
    fn why(&self, field: &str) -> Option<&str> {
        self.wrong.as_ref().filter(|wrong| wrong.field == field).map(|wrong| wrong.said.as_str())
    }
}

/// The form, filled with what is said now, or with what was refused.
pub(super) async fn form(
    cx: &Cx,
    shell: &Shell,
    project: &Project,
    refused: Option<(Typed, Wrong)>,
) -> Result<Html> {
    let members = cx.store.members(&project.organisation, "", OFFERED).await?;
    let (typed, wrong) = match refused {
        Some((typed, wrong)) => (typed, Some(wrong)),
        None => (Typed::of(project), None),
    };
    let fields = Fields {
        w: Words(shell.language),
        base: &format!("/projects/{}/settings", project.name),
        typed,
        members: members.into_iter().map(|member| member.login).collect(),
        wrong,
    };
    Ok(Html(fields.render().unwrap_or_default()))
}

/// Keeps what was typed, or says beside the field what would be accepted.
pub(crate) async fn change(
    State(cx): State<Cx>,
    shell: Shell,
    asking: Asking,
    chosen: Chosen,
    Form(typed): Form<Typed>,
) -> Result<Response> {
    let w = Words(shell.language);
    let kept = match typed.change(w) {
        Ok(change) => match changed(&cx, &chosen.0, change).await {
            Ok((_, detail)) => Ok(detail),
            Err(refused) => Err(Wrong::of(w, refused)?),
        },
        Err(wrong) => Err(wrong),
    };
    match kept {
        Ok(detail) => {
            let mut response = Redirect::to(&format!("/projects/{}", chosen.0.name)).into_response();
            response.extensions_mut().insert(detail);
            Ok(response)
        }
        Err(wrong) => {
            let refused = settings::Refused::About(typed, wrong);
            settings::page(&cx, shell, &asking, &chosen, refused).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(text: &str) -> String {
        paragraphs(text).0
    }

    #[test]
    fn text_has_paragraphs_and_hostile_text_stays_text() {
        assert_eq!(
            text_of("one\ntwo\n\n<script>alert(1)</script>"),
            "<p dir=\"auto\">one<br>two</p><p dir=\"auto\">&lt;script&gt;alert(1)&lt;/script&gt;</p>"
        );
        assert_eq!(text_of(" \n\n"), "");
    }

    #[test]
    fn links_over_tls_and_nothing_else_can_be_followed() {
        let link = |to: &str| format!(r#"<a href="{to}" rel="noreferrer nofollow">{to}</a>"#);
        let said = |text: &str| text_of(text).replace("<p dir=\"auto\">", "").replace("</p>", "");
        assert_eq!(
            said("see (https://example.com/a?b=c&d), now"),
            format!("see ({}), now", link("https://example.com/a?b=c&amp;d"))
        );
        for text in [
            "http://example.com",
            "javascript:alert(1)",
            "https://",
            "https://minji@evil.example",
            "xhttps:/example.com",
        ] {
            assert!(!said(text).contains("<a"), "{text}");
        }
        assert!(!said("https://example.com/\"onclick=alert(1)").contains("<a"));
    }

    #[test]
    fn contacts_are_typed_a_line_each() {
        let w = Words(super::super::language::Language::English);
        let typed = |contacts: &str| Typed { contacts: contacts.to_owned(), ..Typed::default() };
        let change = typed("On call: a@example.com\r\n\r\n https://chat.example.com\r\n").change(w).unwrap();
        assert_eq!(change.contacts.unwrap().len(), 2);
        let wrong = typed("a@example.com\njavascript:alert(1)").change(w).unwrap_err();
        assert_eq!((wrong.field, wrong.said.starts_with("Line 2")), ("contacts", true));
    }
}

//! What people say about a project: one line, a longer text, and whom to ask. Text only, never markup; what could hide or
//! turn what is read does not get in. Who owns a project is a row of people, and not looked at here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How long the line may be.
pub const SUMMARY_CHARACTERS_MAX: usize = 120;
/// How long the text may be.
pub const DESCRIPTION_CHARACTERS_MAX: usize = 4_000;
/// How many contacts there may be.
pub const CONTACTS_MAX: usize = 8;
/// How long the label of a contact may be.
pub const LABEL_CHARACTERS_MAX: usize = 60;
/// How long an address may be.
const ADDRESS_BYTES_MAX: usize = 200;

/// Whom to ask, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Contact {
    /// What the address is for, such as `on call`; may be empty.
    #[serde(default)]
    pub label: String,
    /// An e-mail address, or a link that begins with `https://`.
    pub address: String,
}

impl Contact {
    /// Where the address leads.
    pub fn href(&self) -> String {
        if is_link(&self.address) { self.address.clone() } else { format!("mailto:{}", self.address) }
    }
}

/// Reads a line such as `On call: oncall@example.com`; the label can be left out.
impl FromStr for Contact {
    type Err = AboutError;
    fn from_str(line: &str) -> Result<Self, AboutError> {
        let line = line.trim();
        let (label, address) = line.rsplit_once(char::is_whitespace).unwrap_or(("", line));
        let label = label.trim_end().trim_end_matches(':').trim_end().to_owned();
        let contact = Self { label, address: address.to_owned() };
        check_contact(&contact).map(|()| contact)
    }
}

impl fmt::Display for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.label.is_empty() {
            f.write_str(&self.address)
        } else {
            write!(f, "{}: {}", self.label, self.address)
        }
    }
}

/// Why something cannot be said about a project.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AboutError {
    /// The line.
    #[error("the summary is one line of at most {SUMMARY_CHARACTERS_MAX} characters")]
    Summary,
    /// The longer text.
    #[error("the description is plain text of at most {DESCRIPTION_CHARACTERS_MAX} characters")]
    Description,
    /// The label of a contact.
    #[error("the label of a contact is one line of at most {LABEL_CHARACTERS_MAX} characters")]
    Label,
    /// The address of a contact.
    #[error("the address of a contact is an e-mail address or a link that begins with https://")]
    Address,
    /// There are too many contacts.
    #[error("a project has at most {CONTACTS_MAX} contacts")]
    Contacts,
}

/// Whether this line can be shown beside a project's name.
pub fn check_summary(text: &str) -> Result<(), AboutError> {
    if is_line(text, SUMMARY_CHARACTERS_MAX) { Ok(()) } else { Err(AboutError::Summary) }
}

/// Whether this text can be shown on a project's page.
pub fn check_description(text: &str) -> Result<(), AboutError> {
    let is_plain = text.chars().all(|c| c == '\n' || is_readable(c));
    let is_short = text.chars().count() <= DESCRIPTION_CHARACTERS_MAX;
    if is_plain && is_short { Ok(()) } else { Err(AboutError::Description) }
}

/// Whether these can be shown as whom to ask.
pub fn check_contacts(contacts: &[Contact]) -> Result<(), AboutError> {
    if contacts.len() > CONTACTS_MAX {
        return Err(AboutError::Contacts);
    }
    contacts.iter().try_for_each(check_contact)
}

fn check_contact(contact: &Contact) -> Result<(), AboutError> {
    if !is_line(&contact.label, LABEL_CHARACTERS_MAX) {
        return Err(AboutError::Label);
    }
    if is_link(&contact.address) || is_mail(&contact.address) { Ok(()) } else { Err(AboutError::Address) }
}

fn is_line(text: &str, characters_max: usize) -> bool {
    text.chars().count() <= characters_max && text.chars().all(is_readable)
}

/// Nothing that is obeyed instead of read, and nothing that turns what stands beside it (Unicode UAX #9).
fn is_readable(c: char) -> bool {
    let turns =
        matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}');
    let breaks = matches!(c, '\u{2028}' | '\u{2029}');
    !c.is_control() && !turns && !breaks
}

/// Whether a text is a link that a page may offer: over TLS, to a named host, without a login that would pass for one.
pub fn is_link(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("https://") else { return false };
    let is_safe = |b: u8| b.is_ascii_graphic() && !b"\"'<>\\^`{|}".contains(&b);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let (host, port) = authority.split_once(':').unwrap_or((authority, "443"));
    text.len() <= ADDRESS_BYTES_MAX
        && rest.bytes().all(is_safe)
        && is_host(host)
        && port.parse::<u16>().is_ok()
}

/// Whether a text is an e-mail address as people have them; quoted and commented ones (RFC 5322, 3.4.1) are not.
fn is_mail(text: &str) -> bool {
    let Some((who, host)) = text.split_once('@') else { return false };
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._+-".contains(&b);
    let is_who = (1..=64).contains(&who.len()) && who.bytes().all(fits);
    text.len() <= ADDRESS_BYTES_MAX && is_who && is_host(host) && host.contains('.')
}

fn is_host(host: &str) -> bool {
    let is_label = |label: &str| {
        let fits = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        fits && !label.is_empty() && !label.starts_with('-') && !label.ends_with('-')
    };
    host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_line_and_a_text_has_paragraphs() {
        assert_eq!(check_summary("장바구니와 결제 🚢"), Ok(()));
        assert_eq!(check_summary(&"가".repeat(SUMMARY_CHARACTERS_MAX)), Ok(()));
        for bad in ["a\nb", "\u{202e}evil", "a\u{7}", "a\u{2028}b", &"x".repeat(SUMMARY_CHARACTERS_MAX + 1)] {
            assert_eq!(check_summary(bad), Err(AboutError::Summary), "{bad:?}");
        }
        assert_eq!(check_description("one\n\ntwo <script>"), Ok(()));
        for bad in ["a\rb", "\u{1b}[2J", &"x".repeat(DESCRIPTION_CHARACTERS_MAX + 1)] {
            assert_eq!(check_description(bad), Err(AboutError::Description));
        }
    }

    #[test]
    fn a_contact_is_read_from_a_line_and_written_as_one() {
        for (line, label, href) in [
            ("On call: oncall@example.com", "On call", "mailto:oncall@example.com"),
            ("  oncall@example.com ", "", "mailto:oncall@example.com"),
            (
                "채팅 https://chat.example.com:8443/rivers?x=1#y",
                "채팅",
                "https://chat.example.com:8443/rivers?x=1#y",
            ),
        ] {
            let contact: Contact = line.parse().unwrap();
            assert_eq!((contact.label.as_str(), contact.href().as_str()), (label, href));
            assert_eq!(contact.to_string().parse(), Ok(contact));
        }
    }

    #[test]
    fn an_address_leads_nowhere_strange() {
        for bad in [
            "",
            "javascript:alert(1)",
            "http://example.com",
            "https://",
            "https://minji@evil.example/",
            "https://a b",
            "https://example.com/\"onclick=",
            "https://example.com/<b>",
            "https://exämple.com",
            "https://example.com:99999/",
            "https://-a.example",
            "mailto:a@example.com",
            "a@b",
            "a@@example.com",
            "a?bcc=b@example.com",
            "@example.com",
        ] {
            assert_eq!(bad.parse::<Contact>(), Err(AboutError::Address), "{bad}");
        }
        let long = format!("https://example.com/{}", "a".repeat(ADDRESS_BYTES_MAX));
        assert_eq!(long.parse::<Contact>(), Err(AboutError::Address));
        let label = format!("{} a@example.com", "x".repeat(LABEL_CHARACTERS_MAX + 1));
        assert_eq!(label.parse::<Contact>(), Err(AboutError::Label));
        let one = Contact { label: String::new(), address: "a@example.com".to_owned() };
        assert_eq!(check_contacts(&vec![one; CONTACTS_MAX + 1]), Err(AboutError::Contacts));
    }
}

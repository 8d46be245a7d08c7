"""The addresses of From: what is read, what is refused, and other readers asked about what was read."""

from __future__ import annotations

import email.parser
import email.policy
import email.utils
import time
from email.headerregistry import AddressHeader

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saslpy.protocols.smtp.addresses import MalformedAddress, mailbox
from saslpy.submission.mailboxes import MAX_MAILBOXES, MAX_VALUE, AddressFault, mailboxes

READ = [
    ("joe@example.org", ["joe@example.org"]),
    (" joe@example.org ", ["joe@example.org"]),
    ("<joe@example.org>", ["joe@example.org"]),
    ("Joe <joe@example.org>", ["joe@example.org"]),
    ("Joe<joe@example.org>", ["joe@example.org"]),
    ("\tJoe \t User\t<Joe@EXAMPLE.Org>\t", ["Joe@example.org"]),
    ('"Joe" User <joe@example.org>', ["joe@example.org"]),
    ("John Q. Public <joe@example.org>", ["joe@example.org"]),
    ("Dr.Joe <joe@example.org>", ["joe@example.org"]),
    ('"User, Joe" <joe@example.org>', ["joe@example.org"]),
    ('"Joe (Sales)" <joe@example.org>', ["joe@example.org"]),
    ('"Joe \\"Jo\\" User" <joe@example.org>', ["joe@example.org"]),
    ('"joe@example.org" <joe@example.org>', ["joe@example.org"]),
    ('"" <joe@example.org>', ["joe@example.org"]),
    ("joe@example.org (Joe User)", ["joe@example.org"]),
    ("(Joe (the (User))) joe@example.org", ["joe@example.org"]),
    ("Joe (x) User <joe@example.org> (y)", ["joe@example.org"]),
    ("joe+tag@example.org", ["joe+tag@example.org"]),
    ("j.o'e_!#$%&*/^`{|}~-@example.org", ["j.o'e_!#$%&*/^`{|}~-@example.org"]),
    ('"joe"@example.org', ["joe@example.org"]),
    ('"joe.user"@example.org', ["joe.user@example.org"]),
    ('"joe user"@example.org', ['"joe user"@example.org']),
    ('<"joe..user"@example.org>', ['"joe..user"@example.org']),
    ("a@example.org,b@example.org", ["a@example.org", "b@example.org"]),
    ("A <a@example.org> , (c) b@example.org, C <c@example.org>", ["a@example.org", "b@example.org", "c@example.org"]),
    ("Team: a@example.org, B <b@example.org>;", ["a@example.org", "b@example.org"]),
    ("Team: a@example.org; , c@example.org", ["a@example.org", "c@example.org"]),
    ('"The Team":;', []),
    ("Nobody: ;", []),
    ("Jörg <joe@example.org>", ["joe@example.org"]),
    ('"Jörg" (ö) <joe@example.org>', ["joe@example.org"]),
    ("jörg@bücher.example", ["jörg@xn--bcher-kva.example"]),
    ("jo\u0308rg@BU\u0308CHER.example", ["jörg@xn--bcher-kva.example"]),
    ("=?utf-8?Q?J=C3=B6rg_M=C3=BCller?= <joe@example.org>", ["joe@example.org"]),
    ("=?UTF-8?b?SsO2cmc=?= =?utf-8?q?_M=C3=BCller?= <joe@example.org>", ["joe@example.org"]),
    ("=?iso-8859-1?Q?M=FCller=2C_J=F6rg?= <joe@example.org>", ["joe@example.org"]),
    ("=?windows-1252*de?Q?=93Joe=94?= <joe@example.org>", ["joe@example.org"]),
    ("=?ISO-2022-JP?B?GyRCOzNFREJATzobKEI=?= <joe@example.org>", ["joe@example.org"]),
    ("=?big5?B?pEA=?= <joe@example.org>", ["joe@example.org"]),  # whose second byte is an @ in ASCII
    ('"=?utf-8?Q?J=C3=B6rg?=" <joe@example.org>', ["joe@example.org"]),
    ("joe@example.org (=?utf-8?Q?J=C3=B6rg?=)", ["joe@example.org"]),
    ("joe@localhost", ["joe@localhost"]),
]

REFUSED = [
    # nothing, or not the whole of it
    ("", "an @ is missing"),
    (" ", "an @ is missing"),
    ("joe", "an @ is missing"),
    ("<>", "an @ is missing"),
    ("Joe <>", "an @ is missing"),
    ("Joe <joe>", "an @ is missing"),
    ("<joe@example.org", "a > is missing"),
    ("joe@example.org>", "more than an address"),
    ("@example.org", ""),
    ("joe@", ""),
    ("joe@example.org.", ""),
    ("joe@.example.org", ""),
    (".joe@example.org", ""),
    ("joe.@example.org", ""),
    ("joe..user@example.org", ""),
    ("joe@exa_mple!.org", ""),
    ("joe@-example.org", ""),
    ("joe@[192.0.2.1]", ""),
    ("j" * 65 + "@example.org", ""),
    ("joe@" + "e" * 64 + ".org", ""),
    # CVE-2023-27043, and what Python's getaddresses made of it
    ("alice@example.org)bob@example.com", ""),
    ("alice@example.org(bob@example.com", ""),
    ("alice@example.org<bob@example.com>", "more than an address"),
    ("<bob@example.com>alice@example.org", "more than an address"),
    ("alice@example.org@bob@example.com", ""),
    ("alice@example.org,bob@example.com,", "an @ is missing"),
    (",alice@example.org", "an @ is missing"),
    ("alice@example.org,,bob@example.com", "an @ is missing"),
    ("alice@example.org;bob@example.com", "more than an address"),
    ("alice@example.org:bob@example.com", "more than an address"),
    ("alice@example.org.bob@example.com", "more than an address"),
    ("alice@example.org\\bob@example.com", ""),
    ("alice@example.org[bob@example.com", ""),
    ("alice@example.org bob@example.com", ""),
    ("]alice@example.org", ""),
    # "Composition Kills" and "Weak Links": whom does it come from?
    ("<first@example.org><second@bank.example>", "more than an address"),
    ("<first@example.org> <second@bank.example>", "more than an address"),
    ("first@example.org <second@bank.example>", "more than an address"),
    ("<<joe@example.org>>", "an @ is missing"),
    ("<joe@example.org>>", "more than an address"),
    ("<joe@example.org> second", "more than an address"),
    ("<@bank.example:joe@example.org>", ""),
    ("<@bank.example,@a.example:joe@example.org>", ""),
    ("@bank.example:joe@example.org", ""),
    ("joe@example.org (second@bank.example)", "a comment that may be taken for more"),
    ("(second@bank.example) joe@example.org", "a comment that may be taken for more"),
    ("joe@example.org (<x>)", "a comment that may be taken for more"),
    ('joe@example.org (") , second@bank.example (")', "a comment that may be taken for more"),
    ("joe@example.org (\\) <second@bank.example>)", "a comment that may be taken for more"),
    ("joe(x)@example.org", "a blank or a comment in an address"),
    ("joe@(x)example.org", "a blank or a comment in an address"),
    ("joe@example(x).org", "a blank or a comment in an address"),
    ("jo(x)e@example.org", "a blank or a comment in an address"),
    ("<(x)joe@example.org>", "a blank or a comment in an address"),
    ("<joe@example.org(x)>", "a blank or a comment in an address"),
    ("< joe@example.org>", "a blank or a comment in an address"),
    ("<joe@example.org >", "a blank or a comment in an address"),
    ("joe @example.org", "a blank or a comment in an address"),
    ("joe@ example.org", "a blank or a comment in an address"),
    ("joe. user@example.org", "a blank or a comment in an address"),
    ("joe@example .org", "a blank or a comment in an address"),
    ("joe\x00@example.org", "a control character"),
    ("joe@example.org\x00@bank.example", "a control character"),
    ("Joe\r\nFrom: <joe@example.org>", "a control character"),
    ("Joe\x0b<joe@example.org>", "a control character"),
    ("Joe\x0c\x1c <joe@example.org>", "a control character"),
    ("Joe\x85<second@bank.example> <joe@example.org>", "a control character"),
    ("Joe\u2028 <joe@example.org>", "a control character"),
    ('"<second@bank.example>" <joe@example.org>', "a quoted string that may be taken for an address"),
    ('"second@bank.example, " <joe@example.org>', "a quoted string that may be taken for an address"),
    ('"a\\" second@bank.example \\"" <joe@example.org>', "a quoted string that may be taken for an address"),
    ('"second@bank.example" ', "an @ is missing"),
    ('Joe" <joe@example.org>', "quotes, parentheses"),
    ('"Joe <joe@example.org>', "quotes, parentheses"),
    ("(Joe <joe@example.org>", "a comment without an end"),
    ("Joe) <joe@example.org>", "quotes, parentheses"),
    ("(" * 9 + ")" * 9 + " joe@example.org", "a comment without an end, or one too deep"),
    ("a: b: joe@example.org;;", "an @ is missing"),
    ("a: joe@example.org", "a ; is missing"),
    ("a: joe@example.org, ;", "an @ is missing"),
    (": joe@example.org;", "a name is missing"),
    (":;", "a name is missing"),
    (". <joe@example.org>", "a name is missing"),
    ("a:;b", "more than an address"),
    # "Splitting the Email Atom", nodemailer's CVE-2025-13033
    ('"second@bank.example"@example.org', "a local part that may be taken for more"),
    ('"second@bank.example x"@example.org', "a local part that may be taken for more"),
    ('"a\\"@bank.example>x"@example.org', "a quoted string that may be taken for an address"),
    ('"a,b"@example.org', "a local part that may be taken for more"),
    ('"a\\b"@example.org', "a local part that may be taken for more"),
    ('" joe"@example.org', "a local part that may be taken for more"),
    ('"joe "@example.org', "a local part that may be taken for more"),
    ('"joe\tuser"@example.org', ""),
    ('""@example.org', ""),
    ('"joe"user@example.org', ""),
    ('"joe"."user"@example.org', ""),
    ('joe"user"@example.org', ""),
    ("=?utf-8?q?joe?=@example.org", "a local part that may be taken for more"),
    ("=?utf-8?q?=41=42=43?=joe@example.org", "a local part that may be taken for more"),
    ("=?x?q?second=40bank.example=3e=00?=joe@example.org", "an encoded word"),
    ('"=?utf-8?q?joe?="@example.org', "a local part that may be taken for more"),
    ("joe?=@example.org", "a local part that may be taken for more"),
    ("joe@=?utf-8?q?example.org?=", ""),
    ("=?utf-8?q?joe=40example.org?=", "an encoded word that stands for an address"),
    ("=?utf-8?b?am9lQGV4YW1wbGUub3Jn?=", "an encoded word that stands for an address"),
    ("=?utf-8?q?joe?=", "an @ is missing"),
    ("=?utf-8?q?=3Csecond=40bank.example=3E?= <joe@example.org>", "an encoded word that stands for an address"),
    ("=?utf-8?q?second=40?= =?utf-8?q?bank.example?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-8?b?c2Vjb25k?= =?iso-8859-1?q?=40bank?= <joe@example.org>", "an encoded word that stands for"),
    # together the second words are kanji; alone they are an address
    ("=?iso-2022-jp?b?GyRC?= =?iso-2022-jp?q?=3Cceo=40bank.com=3E?= <joe@example.org>", "an encoded word that stands"),
    ("=?gbk?q?ceo=81?= =?gbk?q?=40bank.example?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-8?q?a=0D=0AFrom=3A_b?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-8?q?a=00?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-8?q?a=E2=80=A8b?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-8?q?=3D=3Futf-8=3Fq=3Fa=3D40=3F=3D?= <joe@example.org>", "an encoded word that stands for"),
    ("=?utf-7?q?second+AEA-bank?= <joe@example.org>", "an encoded word in an unknown charset"),
    ("=?cp037?b?fA==?= <joe@example.org>", "an encoded word in an unknown charset"),
    ("=?utf-16?b?/v8AQA==?= <joe@example.org>", "an encoded word in an unknown charset"),
    ("=?rot13?q?a?= <joe@example.org>", "an encoded word in an unknown charset"),
    ("=?utf-8?q?=FF?= <joe@example.org>", "an encoded word whose bytes are not in its charset"),
    ("=?utf-8?q?=4?= <joe@example.org>", "an encoded word with half an escape"),
    ("=?utf-8?b?Y!Q==?= <joe@example.org>", "an encoded word that is not base64"),
    ("=?utf-8?b?YQ?= <joe@example.org>", "an encoded word that is not base64"),
    ("=?utf-8?x?a?= <joe@example.org>", "an encoded word that is none"),
    ("=?utf-8?q?a <joe@example.org>", "an encoded word that is none"),
    ("=?utf-8?q?a b?= <joe@example.org>", "an encoded word that is none"),
    ('"=?utf-8?q?=22?= second@bank.example" <joe@example.org>', "a quoted string that may be taken"),
    ("joe@example.org (=?utf-8?q?second=40bank.example?=)", "an encoded word that stands for"),
    # other alphabets
    ("joe\uff20bank.example", "an @ is missing"),
    ("a\uff20bank.example@example.org", ""),
    ("joe\u200b@example.org", ""),
    ("joe\u00a0user@example.org", ""),
    ("joe@exa\u200bmple.org", ""),
    ("joe@\uff45xample.org", ""),
    ("joe@example\u3000.org", ""),
]


@pytest.mark.parametrize(("value", "expected"), READ)
def test_read(value: str, expected: list[str]) -> None:
    assert [str(one) for one in mailboxes(value.encode())] == expected


@pytest.mark.parametrize(("value", "why"), REFUSED)
def test_refused(value: str, why: str) -> None:
    with pytest.raises(AddressFault) as fault:
        mailboxes(value.encode())
    assert str(fault.value).startswith(why)
    assert "example" not in str(fault.value)


@pytest.mark.parametrize(
    "value", [b"J\xf6rg <joe@example.org>", b"\xc0\xaf <joe@example.org>", b"a\xed\xa0\x80@example.org"]
)
def test_what_is_not_utf_8_is_refused(value: bytes) -> None:
    with pytest.raises(AddressFault, match="it is not UTF-8"):
        mailboxes(value)


def test_no_field_asks_more_questions_than_the_bound() -> None:
    value = b", ".join([b"joe@example.org"] * MAX_MAILBOXES)
    assert len(mailboxes(value)) == MAX_MAILBOXES
    for more in (b", joe@example.org", b", a: joe@example.org;"):
        with pytest.raises(AddressFault, match="too many addresses"):
            mailboxes(value + more)


@pytest.mark.parametrize(
    "piece", ["(", "()", '"', '""', "=?", "=?utf-8?q??=", "\\", "a.", "a:", "<", ",", "@", "a ", "(\\"]
)
def test_long_values_take_no_longer(piece: str) -> None:
    start = time.monotonic()
    for value in (piece * (MAX_VALUE // len(piece)), piece * ((MAX_VALUE - 2) // len(piece)) + "@x"):
        with pytest.raises(AddressFault):
            mailboxes(value.encode())
    assert time.monotonic() - start < 2
    with pytest.raises(AddressFault, match="longer than 10000 bytes"):
        mailboxes(piece.encode() * MAX_VALUE + b"x")


def by_python(value: str) -> list[str]:
    """What ``email`` finds with its new policy, in our spelling, whatever faults it sees beside."""
    try:
        header = email.parser.Parser(policy=email.policy.default).parsestr(f"From: {value}\n\n")["From"]
    except AttributeError:  # its reader trips over ``Joe.<a@b.example>``, and then finds nothing
        return []
    assert isinstance(header, AddressHeader)
    return [spelt(f"{one.username}@{one.domain}", one.username, one.domain) for one in header.addresses]


def by_old_python(value: str) -> list[str]:
    """What ``email.utils`` finds, in our spelling."""
    return [
        spelt(address, *address.rpartition("@")[::2]) for _, address in email.utils.getaddresses([value]) if address
    ]


def spelt(address: str, local: str, domain: str) -> str:
    try:
        return str(mailbox(f'"{local}"@{domain}' if " " in local or ".." in local else f"{local}@{domain}"))
    except MalformedAddress:
        return address


@pytest.mark.parametrize(("value", "expected"), READ)
def test_other_readers_read_the_same(value: str, expected: list[str]) -> None:
    assert by_python(value.strip()) == expected
    if ":" not in value:  # which forgets the groups' ends
        assert by_old_python(value) == expected


words = [
    "Joe",
    "joe",
    "@",
    "example.org",
    "a.b",
    ".",
    "<",
    ">",
    ",",
    ":",
    ";",
    "(",
    ")",
    '"',
    " ",
    "\t",
    "\\",
    "é",
    "\u200b",
]
words += [
    "joe@example.org",
    "<a@b.example>",
    '"x y"',
    '"a@b.example"',
    "(c)",
    "=?utf-8?q?",
    "?=",
    "=40",
    "=?utf-8?q?a=40b?=",
]
words += ["=?utf-8?b?SsO2cmc=?=", "Team:", "x.example", "[192.0.2.1]", "a@b.example, ", "Joe <joe@example.org>"]


@given(st.one_of(st.lists(st.sampled_from(words), max_size=12).map("".join), st.text()))
def test_nothing_but_its_fault_is_raised_and_others_find_no_more(value: str) -> None:
    try:
        found = [str(one) for one in mailboxes(value.encode("utf-8", "surrogatepass"))]
    except AddressFault:
        return
    assert set(by_python(value.strip())) <= set(found)
    if ":" not in value:
        assert set(by_old_python(value)) <= set(found)


@given(st.binary(max_size=200))
def test_any_bytes(value: bytes) -> None:
    try:
        found = mailboxes(value)
    except AddressFault:
        return
    assert all(mailbox(str(one)) == one for one in found)


atoms = st.text("abcXYZ019!#$%&'*+-/^_`{|}~é", min_size=1, max_size=8)
locals_ = st.lists(atoms, min_size=1, max_size=3).map(".".join)
domains = st.sampled_from(["example.org", "EXAMPLE.org", "x.y.example", "xn--bcher-kva.example", "bücher.example"])
boxes = st.builds("{}@{}".format, locals_, domains)
blanks = st.sampled_from(["", " ", "\t", "  ", " (c) ", "(a(b)c)"])
names = st.sampled_from(
    ["", "Joe ", '"Joe, User" ', "Joe Q. User", "=?utf-8?q?J=C3=B6rg?= ", "Jörg", '"joe@example.org"']
)
entries = st.one_of(boxes, st.builds("{}<{}>".format, names, boxes))


@given(st.lists(st.tuples(blanks, entries, blanks), min_size=1, max_size=5))
def test_what_is_written_well_is_read_as_other_readers_read_it(parts: list[tuple[str, str, str]]) -> None:
    value = ",".join("".join(part) for part in parts)
    found = [str(one) for one in mailboxes(value.encode())]
    assert len(found) == len(parts)
    assert found == by_old_python(value)
    assert found == by_python(value.strip())

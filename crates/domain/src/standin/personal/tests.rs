use super::*;

fn found(text: &str) -> Vec<(Kind, &str)> {
    find(text).into_iter().map(|found| (found.kind, &text[found.at])).collect()
}

#[test]
fn a_number_that_no_issuer_of_cards_gives_out_is_none_whatever_its_sum() {
    // All of these pass the test of Luhn.
    for text in ["1728288000008", "1728288000125005", "9999999999999995"] {
        assert!(found(text).iter().all(|(kind, _)| *kind != Kind::Card), "{text}");
    }
    for text in
        ["4111111111111111", "2221000000000009", "6011000990139424", "3530111333300000", "36227206271667"]
    {
        assert_eq!(found(text), [(Kind::Card, text)], "{text}");
    }
}

#[test]
fn what_is_somebodys_is_recognised() {
    for (text, kind, it) in [
        ("AN12 NL91ABNA0417164300", Kind::Iban, "NL91ABNA0417164300"),
        ("from 192.168.1.10 refused", Kind::Ip, "192.168.1.10"),
        ("http://10.0.0.7:8080/x", Kind::Ip, "10.0.0.7"),
        ("ip=8.8.8.8.", Kind::Ip, "8.8.8.8"),
        ("[2001:db8::1]:443", Kind::Ip, "2001:db8::1"),
        ("addr:2001:db8:0:0:0:0:2:1: no route", Kind::Ip, "2001:db8:0:0:0:0:2:1"),
        ("from ::ffff:192.0.2.128", Kind::Ip, "::ffff:192.0.2.128"),
        ("loopback ::1", Kind::Ip, "::1"),
        ("at 00:1A:2b:3C:4D:5E", Kind::Mac, "00:1A:2b:3C:4D:5E"),
        ("mail user@data.com, please", Kind::Email, "user@data.com"),
        ("<j.o'neil+x@mail.jansén.example>", Kind::Email, "j.o'neil+x@mail.jansén.example"),
        ("call +31 6 1234 5678 now", Kind::Phone, "+31 6 1234 5678"),
        ("call +31 (0)20 123 45 67", Kind::Phone, "+31 (0)20 123 45 67"),
        ("0031612345678", Kind::Phone, "0031612345678"),
        ("bel 06-12345678", Kind::Phone, "06-12345678"),
        ("06 12 34 56 78", Kind::Phone, "06 12 34 56 78"),
        ("(020) 123 45 67", Kind::Phone, "(020) 123 45 67"),
        ("0612345678", Kind::Phone, "0612345678"),
        ("(+31) 6 1234 5678", Kind::Phone, "+31) 6 1234 5678"),
        (r"failed\n06-12345678\n", Kind::Phone, "06-12345678"),
        (r"Traceback\n10.0.0.7: no", Kind::Ip, "10.0.0.7"),
        ("on ip-10-0-0-7.ec2.internal", Kind::Ip, "ip-10-0-0-7"),
        ("4111.1111.1111.1111", Kind::Card, "4111.1111.1111.1111"),
        ("06-12345678 404 500", Kind::Phone, "06-12345678"),
        ("+31 6 1234 5678 404 500", Kind::Phone, "+31 6 1234 5678 404"),
        ("(555) 123-4567", Kind::Phone, "(555) 123-4567"),
        ("555-123-4567", Kind::Phone, "555-123-4567"),
        ("phone number: 555 123 4567", Kind::Phone, "555 123 4567"),
        ("Tel. 123 45 67", Kind::Phone, "123 45 67"),
        ("card 4111 1111 1111 1111 declined", Kind::Card, "4111 1111 1111 1111"),
        ("12 5500-0000-0000-0004", Kind::Card, "5500-0000-0000-0004"),
        ("378282246310005", Kind::Card, "378282246310005"),
        ("3782 822463 10005", Kind::Card, "3782 822463 10005"),
        ("BSN 111222333", Kind::Bsn, "111222333"),
        ("bsn: 1112.22.333!", Kind::Bsn, "1112.22.333"),
        ("\"burgerservicenummer\": \"123 456 782\"", Kind::Bsn, "123 456 782"),
        ("pay NL91 ABNA 0417 1643 00 today", Kind::Iban, "NL91 ABNA 0417 1643 00"),
        ("nl91abna0417164300 was refused", Kind::Iban, "nl91abna0417164300"),
        ("DE89 3704 0044 0532 0130 00", Kind::Iban, "DE89 3704 0044 0532 0130 00"),
        ("born on 2 March 1980", Kind::Birth, "2 March 1980"),
        ("\"date_of_birth\": \"1980-03-02\"", Kind::Birth, "1980-03-02"),
        ("geboren 02-03-1980 te", Kind::Birth, "02-03-1980"),
        ("dob=1980-03-02T00:00:00Z", Kind::Birth, "1980-03-02T00:00:00Z"),
        ("id 6ba7b810-9dad-11d1-80b4-00c04fd430c8", Kind::Id, "6ba7b810-9dad-11d1-80b4-00c04fd430c8"),
        ("at 2024-10-07T07:50:28.076586+00:00,", Kind::Time, "2024-10-07T07:50:28.076586+00:00"),
    ] {
        assert_eq!(found(text), [(kind, it)], "{text}");
    }
}

#[test]
fn what_counts_names_or_dates_something_else_is_not() {
    for text in [
        "404 Client Error, 3 of 120 records, HTTP 500 502 503",
        "version 1.2.3.4, v1.2.3.4, pandas==2.1.0.1, Chrome/120.0.0.0, python 3.11.4",
        "256.1.1.1 and 1.2.3 and 1.2.3.4.5",
        "cron(0 */4 * * *), cron(30 4 1,15 * ? 2026), rate(4 hours), 0 30 4 1 1 2024",
        "line 12:30:45, std::env, a::b, Foo::Bar2, 1:2",
        "4111 1111 1111 1112, 1234567890123",
        "on 02-03-2024 10:30, 2024-10-07, 07/10/2024, 01.02.2024 10",
        "NL92ABNA0417164300, XX12 3456 7890 1234 5678",
        "111222333, BSN 111222334, 12 345 678 rows",
        "full sync 62112121925143, 971415185",
        "user@host, @mention, a @ b.c",
        "tVN_B, 1414_1, JClkCC05S, h4711",
        "phone is missing, phone 12, tel 404",
        "state is not null, error",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn a_value_is_one_however_it_is_written() {
    for (kind, one, other) in [
        (Kind::Iban, "NL91 ABNA 0417 1643 00", "nl91abna0417164300"),
        (Kind::Phone, "+31 6 1234-5678", "0031612345678"),
        (Kind::Card, "4111 1111 1111 1111", "4111-1111-1111-1111"),
        (Kind::Ip, "2001:DB8:0:0::1", "2001:db8::1"),
        (Kind::Email, "Jan@Jansen.example", "jan@jansen.example"),
        (Kind::Mac, "00-1A-2B-3C-4D-5E", "00:1a:2b:3c:4d:5e"),
    ] {
        assert_eq!(kind.canonical(one), kind.canonical(other));
    }
}

#[test]
fn names_of_fields_say_what_is_a_persons() {
    for (name, kind) in [
        ("first_name", Kind::Name),
        ("contactLastName", Kind::Name),
        ("billing_address", Kind::Address),
        ("client_ip_address", Kind::Ip),
        ("e-mail", Kind::Email),
        ("customer_email_address", Kind::Email),
        ("Home Phone Number", Kind::Phone),
        ("date_of_birth", Kind::Birth),
        ("BSN", Kind::Bsn),
        ("zip", Kind::Address),
    ] {
        assert_eq!(field(name), Some(Field::Of(kind)), "{name}");
    }
    for name in
        ["capacity", "gzip", "ship", "job_name", "tenant", "status", "error", "message", "mac_os", "state"]
    {
        assert_eq!(field(name), None, "{name}");
    }
    assert_eq!(field("name"), Some(Field::Name));
}

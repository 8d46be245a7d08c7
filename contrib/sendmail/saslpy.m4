dnl SMTP AUTH by saslpy: lines for sendmail.mc, before those with MAILER. As a file of its own it is /etc/mail/saslpy.m4, and
dnl sendmail.mc has
dnl   include(`/etc/mail/saslpy.m4')dnl
dnl Sendmail.conf, beside this file, says what else belongs to it.
dnl
define(`confAUTH_MECHANISMS', `PLAIN LOGIN')dnl
dnl Who has logged in may send to everywhere.
TRUST_AUTH_MECH(`PLAIN LOGIN')dnl
dnl p: no password crosses the network before STARTTLS. y: nobody logs in without a name.
define(`confAUTH_OPTIONS', `A p y')dnl

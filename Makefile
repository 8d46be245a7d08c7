# The commands of saslpy's checkout. `make` alone tells what there is.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# the real servers and clients that the tests talk to, and what reads the manual pages
DEBIAN := mariadb-server sasl2-bin libsasl2-modules postfix swaks fail2ban dovecot-core courier-authlib slapd ldap-utils \
          python3-ldap db-util man-db mandoc zsh systemd gsasl jose \
          dovecot-imapd dovecot-pop3d dovecot-lmtpd dovecot-submissiond dovecot-managesieved dovecot-auth-lua \
          nginx libnginx-mod-mail ucspi-tcp curl courier-authdaemon courier-authlib-userdb courier-base maildrop m4 subversion \
          lua5.3 msmtp git git-email libmailtools-perl libauthen-sasl-perl libio-socket-ssl-perl libnet-ssleay-perl
# the same, for what cannot be installed beside the others
UNPACKED := exim4-daemon-heavy courier-imap courier-pop cyrus-imapd cyrus-pop3d cyrus-common sendmail-bin sendmail-cf

.PHONY: help run test check format fuzz bench install packages unpacked clean

help:
	@echo 'make run      start the daemon with a demo user, and show commands to try'
	@echo 'make test     run all tests, against the real servers and clients'
	@echo 'make check    linter and types'
	@echo 'make fuzz     a longer hunt for input that the protocols mishandle'
	@echo 'make bench    measure against the peers, side by side'
	@echo 'make clean    remove what the other commands have made here'

install: $(STAMP)

$(STAMP): requirements.lock pyproject.toml
	@sh contrib/dev/venv.sh '$(PYTHON)' '$(VENV)'
	@touch $@

packages:
	@sh contrib/dev/packages.sh 'so the tests that need them are skipped' $(DEBIAN)

unpacked: install packages
	@sh contrib/dev/unpacked.sh '$(VENV)/debian' $(UNPACKED)

run: install
	@sh contrib/dev/demo.sh '$(BIN)'

test: install packages unpacked
	$(BIN)/pytest -n auto --maxprocesses=4 --dist loadfile

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

fuzz: install
	SASLPY_FUZZ=1 $(BIN)/pytest tests/protocols tests/test_names.py tests/passwords

bench: install
	$(BIN)/python -m bench

clean:
	rm -rf $(VENV) .demo .hypothesis .mypy_cache .pytest_cache .ruff_cache

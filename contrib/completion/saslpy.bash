# bash completion for saslpy; needs nothing but bash. tests/cli/test_completion.py compares it with the parser.

_saslpy_config() { # the configuration that the line means
    local i config=${SASLPY_CONFIG:-/etc/saslpy/saslpy.toml}
    for ((i = 1; i < COMP_CWORD; i++)); do
        if [[ ${COMP_WORDS[i]} == --config ]]; then
            config=${COMP_WORDS[i + 1]}
            [[ $config == = ]] && config=${COMP_WORDS[i + 2]}
        fi
    done
    printf '%s' "${config/#\~\//$HOME/}"
}

_saslpy() {
    COMPREPLY=()
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' words='' word i
    # bash makes three words of --option=value
    if [[ $cur == = ]]; then
        cur=
    elif [[ $prev == = ]]; then
        prev=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case $word in
            --config | --service | --realm | --mechanism | --client-ip | --via | --protocol | --backend | --scheme | --login | --listen | \
                --hostname | --smarthost | --smarthost-login | --certificate | --key)
                ((i++))
                [[ ${COMP_WORDS[i]} == = ]] && ((i++))
                ;;
            --user) [[ $command == init ]] && ((i++)) ;;
            -* | =) ;;
            *)
                if [[ -z $command ]]; then
                    command=$word
                elif [[ $command == user ]]; then
                    command="user $word"
                fi
                ;;
        esac
    done

    case $prev in
        --config | --via | --certificate | --key)
            compopt -o default # files, by readline itself
            return
            ;;
        --service) words='smtp submission imap pop3 sieve' ;;
        --mechanism) words='SCRAM-SHA-256 SCRAM-SHA-1 CRAM-MD5 PLAIN LOGIN OAUTHBEARER XOAUTH2 EXTERNAL ANONYMOUS' ;;
        --protocol) words='saslauthd authdaemon dovecot' ;;
        --backend) words=$(sed -n 's/^[[:blank:]]*\[backend\.\([A-Za-z0-9_-]*\)].*/\1/p' "$(_saslpy_config)" 2>/dev/null) ;;
        --scheme)
            words='ARGON2ID ARGON2I YESCRYPT BLF-CRYPT SHA512-CRYPT SHA256-CRYPT SCRAM-SHA-256 SCRAM-SHA-1 PBKDF2 CRYPT
                MD5-CRYPT DES-CRYPT SSHA512 SSHA256 SSHA SMD5 SHA512 SHA256 SHA PLAIN-MD5 LDAP-MD5 CRAM-MD5 DIGEST-MD5
                MYSQL41 PLAIN'
            ;;
        --user)
            mapfile -t COMPREPLY < <(compgen -u -- "$cur")
            return
            ;;
        --realm | --client-ip | --login | --listen | --hostname | --smarthost | --smarthost-login) return ;;
        *)
            case $command in
                '') words='serve check test user hash status reload init --version --help' ;;
                serve) words='--config --help' ;;
                check) words='--offline --relay-test --listen --json --config --help' ;;
                test)
                    words='--password-stdin --service --realm --mechanism --client-ip --via --protocol --json --config --help'
                    ;;
                user) words='add passwd delete list show --help' ;;
                'user add' | 'user passwd') words='--backend --password-stdin --scheme --config --help' ;;
                'user delete') words='--backend --config --help' ;;
                'user list' | 'user show') words='--backend --json --config --help' ;;
                status) words='--json --config --help' ;;
                reload) words='--config --help' ;;
                hash) words='--scheme --login --password-stdin --list --config --help' ;;
                init)
                    words='--user --submission --hostname --smarthost --smarthost-login --password-stdin --certificate --key
                        --self-signed --config --help'
                    if [[ $cur != -* ]]; then
                        compopt -o dirnames
                        return
                    fi
                    ;;
            esac
            # an option is offered when one is begun; a word, where a word may stand
            if [[ $cur != -* ]]; then
                words=" $words"
                words=${words// --*/}
            fi
            ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}

complete -F _saslpy saslpy

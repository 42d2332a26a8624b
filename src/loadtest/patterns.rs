//! The fifty-two grok patterns of the scenario `grok-access`: what a site that collects everything ends up with.
//!
//! Each is one that somebody would write for the program named beside it. The combined format of web servers is the
//! fifty-first, so that all others are tried on each line first.

/// The list, in the order in which it is tried.
pub const ACCESS: [&str; 52] = [
    // sshd, sudo, su, cron
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} sshd\[%{POSINT:pid}\]: Failed %{WORD:method} for (?:invalid user )?%{USERNAME:user} from %{IP:ip} port %{INT:port} ssh2$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} sshd\[%{POSINT:pid}\]: Accepted %{WORD:method} for %{USERNAME:user} from %{IP:ip} port %{INT:port} ssh2(?:: %{GREEDYDATA:key})?$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} sudo: +%{USERNAME:user} : TTY=%{DATA:tty} ; PWD=%{DATA:pwd} ; USER=%{USERNAME:as} ; COMMAND=%{GREEDYDATA:command}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} CRON\[%{POSINT:pid}\]: \(%{USERNAME:user}\) CMD \(%{GREEDYDATA:command}\)$",
    // kernel and firewall
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} kernel: \[ *%{NUMBER:uptime}\] IN=%{DATA:in} OUT=%{DATA:out} MAC=%{DATA:mac} SRC=%{IP:ip} DST=%{IP:destination} %{GREEDYDATA:rest}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} kernel: \[ *%{NUMBER:uptime}\] %{GREEDYDATA:text}$",
    // postfix, dovecot, exim
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} postfix/%{WORD:service}\[%{POSINT:pid}\]: %{WORD:queue}: to=<%{DATA:to}>, relay=%{DATA:relay}, delay=%{NUMBER:delay}, %{GREEDYDATA:rest}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} postfix/%{WORD:service}\[%{POSINT:pid}\]: %{GREEDYDATA:text}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} dovecot: %{WORD:protocol}-login: %{DATA:text}: user=<%{DATA:user}>, method=%{WORD:method}, rip=%{IP:ip}, %{GREEDYDATA:rest}$",
    r"^%{TIMESTAMP_ISO8601:time} %{DATA:id} <= %{NOTSPACE:from} H=%{DATA:relay} \[%{IP:ip}\] %{GREEDYDATA:rest}$",
    // named, dhcpd, ntpd
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} named\[%{POSINT:pid}\]: client @%{DATA:id} %{IP:ip}#%{INT:port} \(%{DATA:name}\): query: %{GREEDYDATA:query}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} dhcpd(?:\[%{POSINT:pid}\])?: DHCPACK on %{IP:ip} to %{NOTSPACE:mac} (?:\(%{DATA:name}\) )?via %{NOTSPACE:interface}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} ntpd\[%{POSINT:pid}\]: %{GREEDYDATA:text}$",
    // any other syslog
    r"^<%{NONNEGINT:pri}>%{INT:version} %{TIMESTAMP_ISO8601:time} %{NOTSPACE:node} %{NOTSPACE:program} %{NOTSPACE:pid} %{NOTSPACE:id} %{GREEDYDATA:text}$",
    r"^<%{NONNEGINT:pri}>%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} %{GREEDYDATA:text}$",
    r"^%{SYSLOGTIMESTAMP:time} %{SYSLOGHOST:node} %{DATA:program}\[%{POSINT:pid}\]: %{GREEDYDATA:text}$",
    // haproxy
    r"^%{IP:ip}:%{INT:port} \[%{DATA:time}\] %{NOTSPACE:frontend} %{NOTSPACE:backend}/%{NOTSPACE:server} %{INT:queue}/%{INT:wait}/%{INT:connect}/%{INT:response}/%{INT:total} %{INT:status} %{INT:bytes} %{GREEDYDATA:rest}$",
    r"^%{IP:ip}:%{INT:port} \[%{DATA:time}\] %{NOTSPACE:frontend} %{NOTSPACE:backend}/%{NOTSPACE:server} %{INT:wait}/%{INT:connect}/%{INT:total} %{INT:bytes} %{GREEDYDATA:rest}$",
    // errors of nginx and Apache
    r"^%{YEAR:year}/%{MONTHNUM:month}/%{MONTHDAY:day} %{TIME:hour} \[%{WORD:level}\] %{POSINT:pid}#%{NUMBER:thread}: \*%{NUMBER:connection} %{DATA:text}, client: %{IP:ip}, server: %{DATA:server}, request: %{GREEDYDATA:rest}$",
    r"^%{YEAR:year}/%{MONTHNUM:month}/%{MONTHDAY:day} %{TIME:hour} \[%{WORD:level}\] %{POSINT:pid}#%{NUMBER:thread}: %{GREEDYDATA:text}$",
    r"^\[%{DAY:weekday} %{MONTH:month} %{MONTHDAY:day} %{TIME:hour} %{YEAR:year}\] \[%{WORD:module}:%{LOGLEVEL:level}\] \[pid %{POSINT:pid}(?::tid %{NUMBER:thread})?\] (?:\[client %{IP:ip}:%{INT:port}\] )?%{GREEDYDATA:text}$",
    r"^\[%{DAY:weekday} %{MONTH:month} %{MONTHDAY:day} %{TIME:hour} %{YEAR:year}\] \[%{LOGLEVEL:level}\] (?:\[client %{IP:ip}\] )?%{GREEDYDATA:text}$",
    // databases
    r"^%{TIMESTAMP_ISO8601:time} UTC \[%{POSINT:pid}\] %{USERNAME:user}@%{USERNAME:database} %{WORD:level}: +duration: %{NUMBER:duration} ms +(?:statement|execute [^:]+): %{GREEDYDATA:statement}$",
    r"^%{TIMESTAMP_ISO8601:time} UTC \[%{POSINT:pid}\] %{WORD:level}: +%{GREEDYDATA:text}$",
    r"^%{TIMESTAMP_ISO8601:time} +%{INT:thread} \[%{WORD:level}\] (?:\[%{DATA:code}\] \[%{WORD:subsystem}\] )?%{GREEDYDATA:text}$",
    r"^# User@Host: %{USERNAME:user}\[%{DATA}\] @ (?:%{HOSTNAME:client})? ?\[%{IP:ip}?\](?: +Id: +%{INT:id})?$",
    r"^# Query_time: %{NUMBER:query_time} +Lock_time: %{NUMBER:lock_time} +Rows_sent: %{INT:sent} +Rows_examined: %{INT:examined}$",
    r"^%{POSINT:pid}:%{WORD:role} %{MONTHDAY:day} %{MONTH:month} %{YEAR:year} %{TIME:hour} [.*#-] %{GREEDYDATA:text}$",
    r"^%{TIMESTAMP_ISO8601:time} +%{WORD:severity} +%{WORD:component} +\[%{DATA:context}\] %{GREEDYDATA:text}$",
    // Java
    r"^%{TIMESTAMP_ISO8601:time} +%{LOGLEVEL:level} +%{POSINT:pid} --- \[ *%{DATA:thread}\] %{NOTSPACE:logger} +: %{GREEDYDATA:text}$",
    r"^\[%{TIMESTAMP_ISO8601:time}\] %{LOGLEVEL:level} %{DATA:text} \(%{JAVACLASS:logger}\)$",
    r"^\[%{TIMESTAMP_ISO8601:time}\]\[%{LOGLEVEL:level} *\]\[%{NOTSPACE:logger} *\] \[%{DATA:node}\] %{GREEDYDATA:text}$",
    r"^%{TIMESTAMP_ISO8601:time} \[%{DATA:thread}\] %{LOGLEVEL:level} +%{JAVACLASS:logger} - %{GREEDYDATA:text}$",
    r"^%{MONTHDAY:day}-%{MONTH:month}-%{YEAR:year} %{TIME:hour} %{LOGLEVEL:level} \[%{DATA:thread}\] %{JAVACLASS:logger}\.%{WORD:method} %{GREEDYDATA:text}$",
    r"^\s+at %{JAVACLASS:class}\.%{WORD:method}\(%{DATA:file}(?::%{INT:line})?\)$",
    // Python, Ruby, PHP
    r"^%{TIMESTAMP_ISO8601:time} - %{NOTSPACE:logger} - %{LOGLEVEL:level} - %{GREEDYDATA:text}$",
    r"^\[%{TIMESTAMP_ISO8601:time}: %{LOGLEVEL:level}/%{DATA:process}\] %{GREEDYDATA:text}$",
    r"^\[%{TIMESTAMP_ISO8601:time} [+-]%{INT:zone}\] \[%{POSINT:pid}\] \[%{LOGLEVEL:level}\] %{GREEDYDATA:text}$",
    r"^[DIWEF], \[%{TIMESTAMP_ISO8601:time} #%{POSINT:pid}\] +%{LOGLEVEL:level} -- %{DATA:program}: %{GREEDYDATA:text}$",
    r"^\[%{MONTHDAY:day}-%{MONTH:month}-%{YEAR:year} %{TIME:hour}\] %{LOGLEVEL:level}: \[pool %{WORD:pool}\] %{GREEDYDATA:text}$",
    // Go and Kubernetes
    r"^[IWEF]%{MONTHNUM:month}%{MONTHDAY:day} %{TIME:hour} +%{INT:thread} %{NOTSPACE:file}:%{INT:line}\] %{GREEDYDATA:text}$",
    r#"^time="%{TIMESTAMP_ISO8601:time}" level=%{WORD:level} msg="%{DATA:text}"(?: %{GREEDYDATA:rest})?$"#,
    r"^ts=%{TIMESTAMP_ISO8601:time} caller=%{NOTSPACE:caller} level=%{WORD:level} %{GREEDYDATA:rest}$",
    r"^\[INFO\] %{IP:ip}:%{INT:port} - %{INT:id} .%{WORD:type} IN %{NOTSPACE:name} %{WORD:protocol} %{INT:size} %{GREEDYDATA:rest}$",
    r"^%{TIMESTAMP_ISO8601:time} \[%{WORD:level}\] +%{NOTSPACE:module}: %{GREEDYDATA:text}$",
    // load balancers and caches
    r"^(?:http|https|h2|ws|wss) %{TIMESTAMP_ISO8601:time} %{NOTSPACE:balancer} %{IP:ip}:%{INT:port} (?:%{IP:target}:%{INT:target_port}|-) %{NUMBER:request_time} %{NUMBER:target_time} %{NUMBER:response_time} %{INT:status} %{GREEDYDATA:rest}$",
    r"^%{NUMBER:time} +%{INT:elapsed} %{IP:ip} %{WORD:result}/%{INT:status} %{INT:bytes} %{WORD:method} %{NOTSPACE:url} %{NOTSPACE:user} %{WORD:hierarchy}/%{NOTSPACE:peer} %{NOTSPACE:type}$",
    r"^%{YEAR:year}-%{MONTHNUM:month}-%{MONTHDAY:day} %{TIME:hour} %{IP:server} %{WORD:method} %{URIPATH:path} %{NOTSPACE:query} %{INT:port} %{NOTSPACE:user} %{IP:ip} %{NOTSPACE:agent} %{GREEDYDATA:rest}$",
    r#"^\[%{TIMESTAMP_ISO8601:time}\] "%{WORD:method} %{NOTSPACE:path} %{NOTSPACE:protocol}" %{INT:status} %{NOTSPACE:flags} %{INT:received} %{INT:sent} %{INT:duration} %{GREEDYDATA:rest}$"#,
    // the combined format behind a proxy that adds the time taken
    r#"^%{IPORHOST:source_ip} - %{USERNAME:user} \[%{HTTPDATE:time}\] "%{WORD:method} %{NOTSPACE:path} HTTP/%{NUMBER:version}" %{INT:status} %{INT:bytes} "%{DATA:referrer}" "%{DATA:agent}" %{NUMBER:took} "%{DATA:forwarded}"$"#,
    // the combined format
    r#"^%{IPORHOST:source_ip} - %{USERNAME:user} \[%{HTTPDATE:time}\] "%{WORD:method} %{NOTSPACE:path} HTTP/%{NUMBER:version}" %{INT:status:int} %{INT:bytes:int} "%{DATA:referrer}" "%{DATA:agent}"$"#,
    // a request that is none
    r#"^%{IPORHOST:source_ip} - %{USERNAME:user} \[%{HTTPDATE:time}\] "%{DATA:request}" %{INT:status:int} %{INT:bytes:int} "%{DATA:referrer}" "%{DATA:agent}"$"#,
];

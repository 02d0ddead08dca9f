/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The control socket: a SOCK_STREAM unix socket, mode 0600. A client sends one request, a JSON
 * object on one line, and reads one reply, likewise; then either may close.
 *
 *   {"cmd":"add","text":"notrack udp dport 53"}
 *   {"ok":true, ...}     or     {"ok":false,"error":"text for a person, may span lines"}
 *
 * commands: add{text} delete{handle} list reload set-add{name,elements[]} set-delete{...} stats
 * status hand-over{method}. Unknown members and commands are errors. "warnings":"text" may
 * accompany ok.
 */
#ifndef CTBYPASS_PROTOCOL_H
#define CTBYPASS_PROTOCOL_H

#define DEFAULT_CONFIG "/etc/ctbypass/ctbypass.conf"
#define DEFAULT_PINDIR "/sys/fs/bpf/ctbypass"
#define DEFAULT_SOCKET "/run/ctbypass.sock"

#define REQUEST_MAX	    (256 * 1024) /* bytes with the newline; longer is refused and closed */
#define CLIENTS_MAX	    16
#define CLIENT_IDLE_SECONDS 10

#endif

/* Answers every request with its host name, and the client's address and port as seen here.
 *
 * usage: responder PROTOCOL/PORT[-PORT]...    such as tcp/80 udp/53 tcp/8000-8009 sctp/9
 *
 * tcp:  a line is answered by a line "NAME ADDRESS PORT". After the line "send N", N more bytes follow; after "take N",
 *       the answer is sent when N bytes have been received.
 * udp:  a datagram is answered by a datagram with the same text.
 * sctp: kernels may have no SCTP, so this implements only the part of RFC 9260 that proves that packets pass in both
 *       directions: an INIT is answered by an INIT ACK with the text in its state cookie.
 *
 * IPv4 clients have their IPv4-mapped address. It is the first process of a container, and statically linked, so that it
 * runs in every engine's container without libraries.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <err.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MOST = 256, INIT = 1, INIT_ACK = 2, STATE_COOKIE = 7, COMMON_HEADER = 12, INIT_LENGTH = 20 };

struct service {
    int protocol;
    int port;
};

static struct service services[MOST];
static struct pollfd sockets[MOST];
static int count;

static int words(char *text, size_t size, const struct sockaddr_in6 *client, int port)
{
    char name[65] = "", address[INET6_ADDRSTRLEN];
    gethostname(name, sizeof name - 1);
    inet_ntop(AF_INET6, &client->sin6_addr, address, sizeof address);
    return snprintf(text, size, "%s %s %d\n", name, address, port);
}

static void add(int protocol, int port)
{
    int on = 1, type = protocol == IPPROTO_TCP ? SOCK_STREAM : protocol == IPPROTO_UDP ? SOCK_DGRAM : SOCK_RAW;
    int s = socket(AF_INET6, type, protocol);
    struct sockaddr_in6 any = {.sin6_family = AF_INET6, .sin6_port = type == SOCK_RAW ? 0 : htons(port)};
    if (count == MOST)
        errx(1, "more than %d ports", MOST);
    if (s < 0)
        err(1, "socket");
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    /* an answer has the address of the request as its source, also in a container on several networks */
    setsockopt(s, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on);
    if (bind(s, (struct sockaddr *)&any, sizeof any) || (type == SOCK_STREAM && listen(s, 128)))
        err(1, "port %d", port);
    services[count] = (struct service){protocol, port};
    sockets[count++] = (struct pollfd){.fd = s, .events = POLLIN};
}

static void talk(int connection, const struct sockaddr_in6 *client)
{
    char line[128], text[256], block[16384];
    long bytes = 0;
    size_t used = 0;
    while (used < sizeof line - 1 && read(connection, line + used, 1) == 1 && line[used++] != '\n')
        ;
    line[used] = 0;
    memset(block, 'x', sizeof block);
    if (sscanf(line, "take %ld", &bytes) == 1)
        for (ssize_t got; bytes > 0 && (got = read(connection, block, sizeof block)) > 0;)
            bytes -= got;
    int length = words(text, sizeof text, client, ntohs(client->sin6_port));
    if (used && write(connection, text, length) == length && sscanf(line, "send %ld", &bytes) == 1)
        for (ssize_t put; bytes > 0; bytes -= put)
            if ((put = write(connection, block, bytes < (long)sizeof block ? bytes : (long)sizeof block)) <= 0)
                break;
    shutdown(connection, SHUT_WR);
    while (read(connection, block, sizeof block) > 0)
        ;
    _exit(0);
}

static void serve_stream(int listener)
{
    struct sockaddr_in6 client;
    socklen_t size = sizeof client;
    int connection = accept(listener, (struct sockaddr *)&client, &size);
    if (connection >= 0 && fork() == 0)
        talk(connection, &client);
    close(connection);
}

/* CRC32c, RFC 9260 appendix A */
static uint32_t crc32c(const uint8_t *data, size_t length)
{
    uint32_t crc = ~0u;
    while (length--) {
        crc ^= *data++;
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
    }
    return ~crc;
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = value >> 8;
    at[1] = value;
}

/* Turns an INIT in `packet` into its INIT ACK; returns the length, or 0 if it is no INIT to that port. */
static size_t acknowledge(uint8_t *packet, size_t received, size_t size, int port, const struct sockaddr_in6 *client)
{
    uint8_t header[COMMON_HEADER], *chunk = packet + COMMON_HEADER;
    if (received < COMMON_HEADER + INIT_LENGTH || chunk[0] != INIT || (packet[2] << 8 | packet[3]) != port)
        return 0;
    memcpy(header, packet, 4);
    char *cookie = (char *)chunk + INIT_LENGTH + 4;
    size_t length = words(cookie, size - COMMON_HEADER - INIT_LENGTH - 4, client, header[0] << 8 | header[1]);
    memcpy(packet, header + 2, 2);
    memcpy(packet + 2, header, 2);
    memcpy(packet + 4, chunk + 4, 4); /* the verification tag is the other side's initiate tag */
    memset(packet + 8, 0, 4);
    chunk[0] = INIT_ACK;
    put16(chunk + 2, INIT_LENGTH + 4 + length);
    put16(chunk + INIT_LENGTH, STATE_COOKIE);
    put16(chunk + INIT_LENGTH + 2, 4 + length);
    memset(cookie + length, 0, 4);
    size_t whole = (COMMON_HEADER + INIT_LENGTH + 4 + length + 3) & ~(size_t)3;
    uint32_t sum = htole32(crc32c(packet, whole));
    memcpy(packet + 8, &sum, 4);
    return whole;
}

static void serve_packet(int s, const struct service *service)
{
    struct sockaddr_in6 client;
    uint8_t packet[2048];
    union {
        char space[CMSG_SPACE(sizeof(struct in6_pktinfo))];
        struct cmsghdr align;
    } control;
    struct iovec part = {packet, sizeof packet};
    struct msghdr message = {&client, sizeof client, &part, 1, &control, sizeof control, 0};
    ssize_t length = recvmsg(s, &message, 0);
    if (length < 0)
        return;
    if (service->protocol == IPPROTO_SCTP)
        length = acknowledge(packet, length, sizeof packet - 4, service->port, &client);
    else
        length = words((char *)packet, sizeof packet, &client, ntohs(client.sin6_port));
    if (service->protocol == IPPROTO_SCTP)
        client.sin6_port = 0;
    part.iov_len = length;
    for (struct cmsghdr *item = CMSG_FIRSTHDR(&message); item; item = CMSG_NXTHDR(&message, item))
        if (item->cmsg_level == IPPROTO_IPV6 && item->cmsg_type == IPV6_PKTINFO)
            ((struct in6_pktinfo *)CMSG_DATA(item))->ipi6_ifindex = 0; /* routes decide the interface of the answer */
    if (length)
        sendmsg(s, &message, 0);
}

int main(int argc, char **argv)
{
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    for (int i = 1; i < argc; i++) {
        char protocol[8];
        int first, last, found = sscanf(argv[i], "%7[a-z]/%d-%d", protocol, &first, &last);
        if (found < 2)
            errx(1, "%s: not PROTOCOL/PORT", argv[i]);
        for (int port = first; port <= (found == 3 ? last : first); port++)
            add(!strcmp(protocol, "tcp")   ? IPPROTO_TCP
                : !strcmp(protocol, "udp") ? IPPROTO_UDP
                                           : IPPROTO_SCTP,
                port);
    }
    for (;;)
        if (poll(sockets, count, -1) > 0)
            for (int i = 0; i < count; i++)
                if (sockets[i].revents) {
                    if (services[i].protocol == IPPROTO_TCP)
                        serve_stream(sockets[i].fd);
                    else
                        serve_packet(sockets[i].fd, &services[i]);
                }
}

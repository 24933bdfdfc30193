/* A worker in C: attaches to a model@stage of the node on this host and follows its flips.
 *
 *     cc -O2 -o worker docs/examples/worker.c && ./worker /run/cachd/cachd.sock minilm production FILE
 *
 * Loads FILE of each version (its first bytes stand for a model here), and says each switch. The
 * protocol is in docs/FORMATS.md, "Local socket" and "Flip page"; a real worker parses JSON. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int sock, page_fd = -1;
static struct { unsigned long handle; char text[80]; } versions[256]; /* by handle, modulo */

static void die(const char *why) { fprintf(stderr, "worker: %s\n", why); exit(1); }

static void say(const char *json) {
    uint32_t length = htonl((uint32_t)strlen(json));
    if (send(sock, &length, 4, MSG_NOSIGNAL) != 4 ||
        send(sock, json, strlen(json), MSG_NOSIGNAL) != (ssize_t)strlen(json)) die("cannot send");
}

/* One frame. Its descriptor comes with its first byte, so read no further than the frame's end. */
static char *hear(int *fd) {
    static char body[65537];
    union { struct cmsghdr head; char space[CMSG_SPACE(4 * sizeof(int))]; } rights;
    uint32_t length;
    struct iovec part = {&length, 4};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1,
                             .msg_control = &rights, .msg_controllen = sizeof rights};
    if (recvmsg(sock, &message, MSG_CMSG_CLOEXEC | MSG_WAITALL) != 4) die("the daemon hung up");
    struct cmsghdr *came = CMSG_FIRSTHDR(&message);
    *fd = -1;
    if (came && came->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA(came), sizeof *fd);
    length = ntohl(length);
    if (length >= sizeof body || recv(sock, body, length, MSG_WAITALL) != (ssize_t)length)
        die("a bad frame");
    body[length] = 0;
    return body;
}

static unsigned long number(const char *json, const char *key) {
    const char *at = strstr(json, key);
    return at ? strtoul(at + strlen(key), NULL, 10) : 0;
}

int main(int argc, char **argv) {
    char line[512];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 5) die("usage: worker SOCKET MODEL STAGE FILE");
    snprintf(address.sun_path, sizeof address.sun_path, "%s", argv[1]);
    sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(sock, (struct sockaddr *)&address, sizeof address)) die("cannot connect");
    snprintf(line, sizeof line, "{\"op\":\"attach\",\"protocol\":1,\"model\":\"%s\",\"stage\":\"%s\","
             "\"pid\":%d,\"client\":\"worker.c\",\"held\":[]}", argv[2], argv[3], getpid());
    say(line);
    const uint64_t *slot = NULL;
    for (uint64_t answered_by = 0;;) {
        int fd;
        char *json = hear(&fd);
        unsigned long handle = number(json, "\"handle\":");
        if (strstr(json, "\"op\":\"error\"")) die(json);
        if (strstr(json, "\"op\":\"attached\"")) {
            size_t at = 64 + 128 * number(json, "\"slot\":"), size = at + 128;
            char *page = mmap(NULL, size, PROT_READ, MAP_SHARED, page_fd = fd, 0);
            if (page == MAP_FAILED) die("cannot map the flip page");
            slot = (const uint64_t *)(page + at);
        } else if (strstr(json, "\"op\":\"prepare\"")) { /* fd: the version's directory */
            int file = openat(fd, argv[4], O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
            char *text = versions[handle % 256].text;
            ssize_t got = file < 0 ? -1 : pread(file, text, 79, 0);
            text[got < 0 ? 0 : got] = 0;
            versions[handle % 256].handle = handle;
            snprintf(line, sizeof line, got < 0 ? "{\"op\":\"failed\",\"handle\":%lu,\"error\":\"no file\"}"
                                                : "{\"op\":\"ready\",\"handle\":%lu}", handle);
            say(line);
            close(file), close(fd);
        } else if (strstr(json, "\"op\":\"retire\"")) {
            snprintf(line, sizeof line, "{\"op\":\"released\",\"handle\":%lu}", handle);
            say(line);
        }
        /* A server does this at each request: one load, and a switch if what it names is here. */
        uint64_t word = slot ? __atomic_load_n(slot, __ATOMIC_ACQUIRE) : 0;
        handle = word & 0xffffff;
        if (!word || word == answered_by || versions[handle % 256].handle != handle) continue;
        answered_by = word;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        snprintf(line, sizeof line, "{\"op\":\"switched\",\"flip\":%lu,\"handle\":%lu,\"ns\":%lld}",
                 (unsigned long)(word >> 24), handle, now.tv_sec * 1000000000LL + now.tv_nsec);
        say(line);
        printf("flip %lu: %s\n", (unsigned long)(word >> 24), versions[handle % 256].text);
        fflush(stdout);
    }
}

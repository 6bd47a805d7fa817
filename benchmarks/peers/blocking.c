/* A blocking C receiver: recv, look at the clock, find one header. The least latency a program can ask for without
 * spinning.
 *
 * blocking GROUP PORT COUNT: joins GROUP on loopback, says {"ready": true}, and when COUNT datagrams have come, or none
 * for five seconds, prints {"arrivals": [[index, monotonic nanoseconds], ...]}.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_BYTES 65536
#define PATIENCE_SECONDS 5

static const char INDEX_HEADER[] = "\nX-Bench-Index: ";

struct arrival {
    long index;
    long long nanoseconds;
};

static int fail(const char *what)
{
    perror(what);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: blocking GROUP PORT COUNT\n");
        return EXIT_FAILURE;
    }
    long count = strtol(argv[3], NULL, 10);
    struct sockaddr_in group = {.sin_family = AF_INET, .sin_port = htons((unsigned short)strtol(argv[2], NULL, 10))};
    if (count < 1 || inet_pton(AF_INET, argv[1], &group.sin_addr) != 1) {
        fprintf(stderr, "blocking: GROUP is an IPv4 address, COUNT at least 1\n");
        return EXIT_FAILURE;
    }
    struct ip_mreq membership = {.imr_multiaddr = group.sin_addr, .imr_interface = {htonl(INADDR_LOOPBACK)}};
    struct timeval patience = {.tv_sec = PATIENCE_SECONDS};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&group, sizeof group) != 0)
        return fail("bind");
    if (setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership) != 0)
        return fail("join");
    if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) != 0)
        return fail("timeout");

    struct arrival *arrivals = calloc((size_t)count, sizeof *arrivals);
    char *datagram = malloc(DATAGRAM_BYTES + 1);
    if (arrivals == NULL || datagram == NULL)
        return fail("memory");
    printf("{\"ready\": true}\n");
    fflush(stdout);

    long seen = 0;
    while (seen < count) {
        ssize_t size = recv(fd, datagram, DATAGRAM_BYTES, 0);
        if (size < 0)
            break;
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        char *found = memmem(datagram, (size_t)size, INDEX_HEADER, sizeof INDEX_HEADER - 1);
        if (found == NULL)
            continue;
        datagram[size] = '\0';
        arrivals[seen].index = strtol(found + sizeof INDEX_HEADER - 1, NULL, 10);
        arrivals[seen++].nanoseconds = now.tv_sec * 1000000000LL + now.tv_nsec;
    }
    printf("{\"arrivals\": [");
    for (long i = 0; i < seen; i++)
        printf("%s[%ld, %lld]", i ? ", " : "", arrivals[i].index, arrivals[i].nanoseconds);
    printf("]}\n");
    free(datagram);
    free(arrivals);
    return close(fd) == 0 ? EXIT_SUCCESS : fail("close");
}

/* The C client against Strata: requests, watches, sessions, and a counter that goes on while a member is killed.
 *
 *   client HOSTS ROOT              says "ok CASE" after each case, then "done"
 *   client HOSTS ROOT count        says "counting", counts until two lines came on stdin, then "done COUNT RECONNECTS"
 *   client HOSTS ROOT own          makes an ephemeral, says "ID PASSWORD", and waits to be killed
 */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <zookeeper/zookeeper.h>

enum { PATIENCE = 40, TIMEOUT = 6000 };

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

/* client is a handle with what its watchers have told. mu guards what they write. */
struct client {
    zhandle_t *zh;
    int connected, expired, connects;
    int events;
    int last_type;
    char last_path[256];
};

static void die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    fprintf(stdout, "FAIL ");
    vfprintf(stdout, format, args);
    fprintf(stdout, "\n");
    va_end(args);
    exit(1);
}

#define MUST(want, call)                                                                           \
    do {                                                                                           \
        int got_ = (call);                                                                         \
        if (got_ != (want)) die("line %d: %s is %d (%s), want %d", __LINE__, #call, got_, zerror(got_), (want)); \
    } while (0)

#define CHECK(cond)                                                 \
    do {                                                            \
        if (!(cond)) die("line %d: not so: %s", __LINE__, #cond);   \
    } while (0)

static void watcher(zhandle_t *zh, int type, int state, const char *path, void *context) {
    struct client *c = context ? context : (struct client *)zoo_get_context(zh);
    pthread_mutex_lock(&mu);
    if (type == ZOO_SESSION_EVENT) {
        if (state == ZOO_CONNECTED_STATE) {
            if (!c->connected) c->connects++;
            c->connected = 1;
        } else if (state == ZOO_EXPIRED_SESSION_STATE) {
            c->expired = 1;
            c->connected = 0;
        } else {
            c->connected = 0;
        }
    } else {
        c->events++;
        c->last_type = type;
        snprintf(c->last_path, sizeof c->last_path, "%s", path ? path : "");
    }
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

/* until waits for a condition of the watchers; mu is held while it is looked at. */
#define UNTIL(cond)                                                                          \
    do {                                                                                     \
        struct timespec end_;                                                                \
        clock_gettime(CLOCK_REALTIME, &end_);                                                \
        end_.tv_sec += PATIENCE;                                                             \
        pthread_mutex_lock(&mu);                                                             \
        while (!(cond))                                                                      \
            if (pthread_cond_timedwait(&changed, &mu, &end_)) die("line %d: never: %s", __LINE__, #cond); \
        pthread_mutex_unlock(&mu);                                                           \
    } while (0)

static void start(struct client *c, const char *hosts, const clientid_t *id) {
    memset(c, 0, sizeof *c);
    zoo_deterministic_conn_order(1);
    c->zh = zookeeper_init(hosts, watcher, TIMEOUT, id, c, 0);
    if (!c->zh) die("zookeeper_init: no handle");
    UNTIL(c->connected || c->expired);
    CHECK(!c->expired);
}

static void stop(struct client *c) { MUST(ZOK, zookeeper_close(c->zh)); }

static struct client a, b;
static const char *hosts, *root;
static char path[256], other[256], made[300];

static const char *at(char *into, const char *name) {
    snprintf(into, 256, "%s/%s", root, name);
    return into;
}

static void znodes(void) {
    char data[64];
    int len;
    struct Stat stat;
    at(path, "znode");
    MUST(ZOK, zoo_create2(a.zh, path, "one", 3, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made, &stat));
    CHECK(!strcmp(made, path) && stat.dataLength == 3 && stat.version == 0 && stat.czxid == stat.mzxid);
    MUST(ZNODEEXISTS, zoo_create(a.zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    MUST(ZNONODE, zoo_create(a.zh, at(other, "none/x"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    MUST(ZINVALIDACL, zoo_create(a.zh, at(other, "acl"), "", 0, &(struct ACL_vector){0, NULL}, 0, made, sizeof made));
    MUST(ZBADVERSION, zoo_set(a.zh, path, "two", 3, 5));
    MUST(ZOK, zoo_set2(a.zh, path, "three", 5, 0, &stat));
    CHECK(stat.version == 1 && stat.dataLength == 5);
    len = sizeof data;
    MUST(ZOK, zoo_get(a.zh, path, 0, data, &len, &stat));
    CHECK(len == 5 && !memcmp(data, "three", 5));
    MUST(ZOK, zoo_set(a.zh, path, NULL, -1, -1));
    len = sizeof data;
    MUST(ZOK, zoo_get(a.zh, path, 0, data, &len, &stat));
    CHECK(len == -1 && stat.dataLength == 0);
    MUST(ZOK, zoo_set(a.zh, path, "", 0, -1));
    len = sizeof data;
    MUST(ZOK, zoo_get(a.zh, path, 0, data, &len, &stat));
    CHECK(len == 0);
    MUST(ZOK, zoo_create(a.zh, at(other, "znode/kid"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    MUST(ZNOTEMPTY, zoo_delete(a.zh, path, -1));
    struct String_vector kids;
    MUST(ZOK, zoo_get_children2(a.zh, path, 0, &kids, &stat));
    CHECK(kids.count == 1 && !strcmp(kids.data[0], "kid") && stat.numChildren == 1);
    deallocate_String_vector(&kids);
    MUST(ZOK, zoo_delete(a.zh, other, 0));
    MUST(ZBADVERSION, zoo_delete(a.zh, path, 7));
    MUST(ZOK, zoo_delete(a.zh, path, -1));
    MUST(ZNONODE, zoo_exists(a.zh, path, 0, &stat));
    MUST(ZBADARGUMENTS, zoo_create(a.zh, "no-slash", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
}

static void modes(void) {
    struct Stat stat;
    at(path, "modes");
    MUST(ZOK, zoo_create(a.zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    for (int i = 0; i < 3; i++) {
        char want[300];
        MUST(ZOK, zoo_create(a.zh, at(other, "modes/s-"), "", 0, &ZOO_OPEN_ACL_UNSAFE, i == 1 ? ZOO_EPHEMERAL_SEQUENTIAL : ZOO_PERSISTENT_SEQUENTIAL, made, sizeof made));
        snprintf(want, sizeof want, "%s%010d", other, i);
        CHECK(!strcmp(made, want));
        MUST(ZOK, zoo_exists(a.zh, made, 0, &stat));
        CHECK(stat.ephemeralOwner == (i == 1 ? zoo_client_id(a.zh)->client_id : 0));
    }
    MUST(ZNOCHILDRENFOREPHEMERALS, ({
             MUST(ZOK, zoo_create(a.zh, at(other, "modes/e"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, made, sizeof made));
             zoo_create(a.zh, at(other, "modes/e/x"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made);
         }));
    MUST(ZOK, zoo_create2(a.zh, at(other, "modes/container"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_CONTAINER, made, sizeof made, &stat));
    CHECK(stat.ephemeralOwner == 0);
    MUST(ZOK, zoo_create2_ttl(a.zh, at(other, "modes/ttl"), "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_PERSISTENT_WITH_TTL, 100000, made, sizeof made, &stat));
    CHECK(stat.ephemeralOwner == 0);
}

static void multi(void) {
    struct Stat stat;
    char one[300], two[300], first[256], second[256];
    zoo_op_t ops[4];
    zoo_op_result_t results[4];
    zoo_create_op_init(&ops[0], at(first, "multi"), "x", 1, &ZOO_OPEN_ACL_UNSAFE, 0, one, sizeof one);
    zoo_create_op_init(&ops[1], at(second, "multi/kid"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, two, sizeof two);
    zoo_check_op_init(&ops[2], first, 0);
    zoo_set_op_init(&ops[3], first, "y", 1, 0, &stat);
    MUST(ZOK, zoo_multi(a.zh, 4, ops, results));
    for (int i = 0; i < 4; i++) CHECK(results[i].err == ZOK);
    CHECK(!strcmp(one, first) && !strcmp(two, second) && stat.version == 1);
    zoo_delete_op_init(&ops[0], second, -1);
    zoo_check_op_init(&ops[1], first, 9);
    zoo_delete_op_init(&ops[2], first, -1);
    MUST(ZBADVERSION, zoo_multi(a.zh, 3, ops, results));
    CHECK(results[0].err == 0 && results[1].err == ZBADVERSION && results[2].err == ZRUNTIMEINCONSISTENCY);
    MUST(ZOK, zoo_exists(a.zh, second, 0, &stat));
}

/* mine is a context of its own for each watch, so that no event is taken for another's. */
static struct client mine[4];

static void watches(void) {
    struct Stat stat;
    char data[16];
    int len = sizeof data;
    struct String_vector kids;
    memset(mine, 0, sizeof mine);
    at(path, "watched");
    MUST(ZNONODE, zoo_wexists(b.zh, path, watcher, &mine[0], &stat));
    MUST(ZOK, zoo_create(a.zh, path, "1", 1, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    UNTIL(mine[0].events);
    CHECK(mine[0].last_type == ZOO_CREATED_EVENT && !strcmp(mine[0].last_path, path));
    MUST(ZOK, zoo_wget(b.zh, path, watcher, &mine[1], data, &len, &stat));
    MUST(ZOK, zoo_wget_children(b.zh, path, watcher, &mine[2], &kids));
    deallocate_String_vector(&kids);
    MUST(ZOK, zoo_set(a.zh, path, "2", 1, -1));
    UNTIL(mine[1].events);
    CHECK(mine[1].last_type == ZOO_CHANGED_EVENT);
    MUST(ZOK, zoo_create(a.zh, at(other, "watched/kid"), "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    UNTIL(mine[2].events);
    CHECK(mine[2].last_type == ZOO_CHILD_EVENT && !strcmp(mine[2].last_path, path));
    MUST(ZOK, zoo_wexists(b.zh, other, watcher, &mine[3], &stat));
    MUST(ZOK, zoo_remove_watches(b.zh, other, ZWATCHTYPE_DATA, watcher, &mine[3], 0));
    MUST(ZNOWATCHER, zoo_remove_watches(b.zh, other, ZWATCHTYPE_DATA, watcher, &mine[3], 0));
    MUST(ZOK, zoo_wexists(b.zh, other, watcher, &mine[3], &stat));
    MUST(ZOK, zoo_remove_all_watches(b.zh, other, ZWATCHTYPE_ANY, 0));
    MUST(ZOK, zoo_set(a.zh, path, "3", 1, -1)); /* watches fire once, and not when they were removed */
    MUST(ZOK, zoo_delete(a.zh, other, -1));
    MUST(ZOK, zoo_exists(b.zh, path, 0, &stat));
    CHECK(mine[0].events == 1 && mine[1].events == 1 && mine[2].events == 1 && mine[3].events == 0);
}

static void acls(void) {
    struct client owner;
    struct Stat stat;
    struct ACL_vector list;
    char data[16];
    int len = sizeof data;
    start(&owner, hosts, NULL);
    MUST(ZOK, zoo_add_auth(owner.zh, "digest", "bob:secret", 10, NULL, NULL));
    at(path, "acl");
    MUST(ZOK, zoo_create(owner.zh, path, "x", 1, &ZOO_CREATOR_ALL_ACL, 0, made, sizeof made));
    MUST(ZNOAUTH, zoo_get(a.zh, path, 0, data, &len, &stat));
    MUST(ZNOAUTH, zoo_set(a.zh, path, "y", 1, -1));
    MUST(ZNOAUTH, zoo_set_acl(a.zh, path, -1, &ZOO_OPEN_ACL_UNSAFE));
    MUST(ZOK, zoo_get_acl(owner.zh, path, &list, &stat));
    CHECK(list.count == 1 && list.data[0].perms == ZOO_PERM_ALL && !strcmp(list.data[0].id.scheme, "digest") && !strncmp(list.data[0].id.id, "bob:", 4));
    deallocate_ACL_vector(&list);
    MUST(ZOK, zoo_set_acl(owner.zh, path, 0, &ZOO_READ_ACL_UNSAFE));
    len = sizeof data;
    MUST(ZOK, zoo_get(a.zh, path, 0, data, &len, &stat));
    CHECK(stat.aversion == 1);
    MUST(ZNOAUTH, zoo_set(owner.zh, path, "y", 1, -1));
    stop(&owner);
}

/* Answers of the pipeline; mu guards them. */
enum { PIPELINE = 10000 };
static int answered, wrong;

static void pipelined(int rc, const struct Stat *stat, const void *data) {
    pthread_mutex_lock(&mu);
    if (rc != ZOK || stat->version != (int)(long)data) wrong++;
    answered++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

static void pipeline(void) {
    at(path, "pipeline");
    MUST(ZOK, zoo_create(a.zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    answered = wrong = 0;
    for (long i = 1; i <= PIPELINE; i++) MUST(ZOK, zoo_aset(a.zh, path, "x", 1, -1, pipelined, (void *)i));
    UNTIL(answered == PIPELINE);
    CHECK(wrong == 0);
}

static void chroot_(void) {
    struct client inside;
    char where[512];
    struct Stat stat;
    at(path, "chroot");
    MUST(ZOK, zoo_create(a.zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    snprintf(where, sizeof where, "%s%s", hosts, path);
    start(&inside, where, NULL);
    MUST(ZOK, zoo_create(inside.zh, "/x", "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    CHECK(!strcmp(made, "/x"));
    MUST(ZOK, zoo_exists(a.zh, at(other, "chroot/x"), 0, &stat));
    stop(&inside);
}

static void sync_answered(int rc, const char *value, const void *data) {
    (void)value, (void)data;
    pthread_mutex_lock(&mu);
    answered = rc == ZOK ? 1 : -1;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&mu);
}

static void syncs(void) {
    struct Stat stat;
    at(path, "synced");
    MUST(ZOK, zoo_create(a.zh, path, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    answered = 0;
    MUST(ZOK, zoo_async(b.zh, path, sync_answered, NULL));
    UNTIL(answered);
    CHECK(answered == 1);
    MUST(ZOK, zoo_exists(b.zh, path, 0, &stat));
}

/* line tells whether a line has come on stdin, and takes it. */
static int line(void) {
    fd_set in;
    struct timeval none = {0, 0};
    char c = 0;
    FD_ZERO(&in);
    FD_SET(0, &in);
    if (select(1, &in, NULL, NULL, &none) != 1) return 0;
    while (c != '\n') CHECK(read(0, &c, 1) == 1);
    return 1;
}

static struct client news[4];

/* arm watches /news in four ways, each with a context of its own. */
static void arm(void) {
    struct Stat stat;
    struct String_vector kids;
    char data[16];
    int len = sizeof data;
    MUST(ZOK, zoo_wget(a.zh, "/news", watcher, &news[0], data, &len, &stat));
    MUST(ZOK, zoo_wget_children(a.zh, "/news", watcher, &news[1], &kids));
    deallocate_String_vector(&kids);
    MUST(ZNONODE, zoo_wexists(a.zh, "/news/created", watcher, &news[2], &stat));
    MUST(ZOK, zoo_wexists(a.zh, "/news/deleted", watcher, &news[3], &stat));
}

/* told waits for the four events, each of which comes once. */
static void told(void) {
    const int types[4] = {ZOO_CHANGED_EVENT, ZOO_CHILD_EVENT, ZOO_CREATED_EVENT, ZOO_DELETED_EVENT};
    const char *paths[4] = {"/news", "/news", "/news/created", "/news/deleted"};
    for (int i = 0; i < 4; i++) UNTIL(news[i].events);
    for (int i = 0; i < 4; i++)
        if (news[i].events != 1 || news[i].last_type != types[i] || strcmp(news[i].last_path, paths[i]))
            die("watch %d: %d events, the last of type %d at %s", i, news[i].events, news[i].last_type, news[i].last_path);
}

/* count adds to a znode of its own under its version, through whatever happens. Only who has its credentials may write there. A line on stdin says
 * that what is watched has changed, the next one that it is enough. */
static void count(void) {
    struct Stat stat;
    long n = 0;
    char text[32];
    MUST(ZOK, zoo_add_auth(a.zh, "digest", "counter:secret", 14, NULL, NULL));
    MUST(ZOK, zoo_create(a.zh, root, "0", 1, &ZOO_CREATOR_ALL_ACL, ZOO_EPHEMERAL, made, sizeof made));
    arm();
    printf("counting\n");
    fflush(stdout);
    for (int lines = 0; lines < 2;) {
        if (line() && ++lines == 1) {
            told();
            printf("told\n");
            fflush(stdout);
        }
        int len = snprintf(text, sizeof text, "%ld", n + 1);
        int rc = zoo_set2(a.zh, root, text, len, (int)n, &stat);
        if (rc == ZOK) {
            n++;
            CHECK(stat.version == n);
            continue;
        }
        if (rc != ZCONNECTIONLOSS && rc != ZOPERATIONTIMEOUT) die("set is %d (%s) after %ld", rc, zerror(rc), n);
        do { /* whether it has applied is read off the value */
            CHECK(!a.expired);
            len = sizeof text - 1;
            rc = zoo_get(a.zh, root, 0, text, &len, &stat);
            usleep(1000);
        } while (rc == ZCONNECTIONLOSS || rc == ZOPERATIONTIMEOUT);
        if (rc != ZOK) die("get is %d (%s)", rc, zerror(rc));
        text[len] = 0;
        CHECK(stat.version == n || stat.version == n + 1);
        CHECK(atol(text) == stat.version);
        n = stat.version;
    }
    MUST(ZOK, zoo_exists(a.zh, root, 0, &stat));
    CHECK(!a.expired && stat.ephemeralOwner == zoo_client_id(a.zh)->client_id);
    for (int i = 0; i < 4; i++) CHECK(news[i].events == 1);
    printf("done %ld %d\n", n, a.connects - 1);
}

static void own(void) {
    const clientid_t *id = zoo_client_id(a.zh);
    MUST(ZOK, zoo_create(a.zh, root, "", 0, &ZOO_OPEN_ACL_UNSAFE, ZOO_EPHEMERAL, made, sizeof made));
    printf("%lld ", (long long)id->client_id);
    for (int i = 0; i < 16; i++) printf("%02x", (unsigned char)id->passwd[i]);
    printf("\n");
    fflush(stdout);
    for (;;) pause();
}

/* resume takes a session over from a process that was killed. */
static void resume_(const char *number, const char *password) {
    clientid_t id;
    struct Stat stat;
    id.client_id = atoll(number);
    for (int i = 0; i < 16; i++) {
        unsigned byte;
        CHECK(sscanf(password + 2 * i, "%2x", &byte) == 1);
        id.passwd[i] = (char)byte;
    }
    start(&a, hosts, &id);
    CHECK(zoo_client_id(a.zh)->client_id == id.client_id);
    MUST(ZOK, zoo_exists(a.zh, root, 0, &stat));
    CHECK(stat.ephemeralOwner == id.client_id);
    stop(&a);
    start(&a, hosts, NULL);
    MUST(ZNONODE, zoo_exists(a.zh, root, 0, &stat));
    stop(&a);
    printf("done\n");
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"znodes", znodes}, {"modes", modes}, {"multi", multi}, {"watches", watches}, {"acls", acls}, {"pipeline", pipeline}, {"chroot", chroot_}, {"sync", syncs}};
    if (argc < 3) die("want HOSTS ROOT");
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    hosts = argv[1];
    root = argv[2];
    if (argc == 6 && !strcmp(argv[3], "resume")) {
        resume_(argv[4], argv[5]);
        return 0;
    }
    start(&a, hosts, NULL);
    if (argc > 3) {
        if (!strcmp(argv[3], "count"))
            count();
        else
            own();
        stop(&a);
        return 0;
    }
    start(&b, hosts, NULL);
    MUST(ZOK, zoo_create(a.zh, root, "", 0, &ZOO_OPEN_ACL_UNSAFE, 0, made, sizeof made));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        cases[i].run();
        printf("ok %s\n", cases[i].name);
        fflush(stdout);
    }
    CHECK(a.connects == 1 && b.connects == 1);
    stop(&a);
    stop(&b);
    printf("done\n");
    return 0;
}

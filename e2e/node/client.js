// node-zookeeper-client against Strata: requests, watches, transactions, ACLs, sessions, and a counter that goes on while a member is killed.
//
//   client.js HOSTS ROOT                      says "ok CASE" after each case, then "done STATES"
//   client.js HOSTS ROOT count                says "counting", counts until lines come on stdin, then "done {...}"
//   client.js HOSTS ROOT own                  makes an ephemeral, says "ID PASSWORD", and waits to be killed
//   client.js HOSTS ROOT resume ID PASSWORD   goes on with that session, then ends it
//
// STATES are what the long-lived clients went through. Longs are buffers of 8 bytes in this client.
'use strict';

const assert = require('assert');
const crypto = require('crypto');
const readline = require('readline');
const zk = require('node-zookeeper-client');

const { ACL, CreateMode, Event, Exception, Id, Permission } = zk;
const PATIENCE = 40000;
const OPEN = ACL.OPEN_ACL_UNSAFE;

const [hosts, root, mode, ...rest] = process.argv.slice(2);
const path = (name) => root + '/' + name;
const bytes = (s) => Buffer.from(s);

// within rejects when the promise has not settled after PATIENCE.
function within(what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(what + ': not after ' + PATIENCE + ' ms')), PATIENCE);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

// ask calls a method that ends in a callback, and resolves to what comes behind the error: a value, or an array of several.
function ask(k, method, ...args) {
    return within(method + ' ' + args[0], new Promise((resolve, reject) => {
        k[method](...args, (error, ...values) => (error ? reject(error) : resolve(values.length > 1 ? values : values[0])));
    }));
}

const get = (k, ...args) => ask(k, 'getData', ...args).then(([data, stat]) => ({ data, stat }));

// tell is a watcher with a promise for its first event and the number of all.
function tell() {
    const told = { count: 0 };
    told.first = new Promise((resolve) => {
        told.watcher = (event) => {
            told.count++;
            resolve(event);
        };
    });
    return told;
}

// open resolves to a client that is connected. Its states are collected in k.states.
function open(servers, options) {
    const k = zk.createClient(servers, { sessionTimeout: 6000, spinDelay: 100, ...options });
    // The client shuffles its servers. Here the first is meant: it decides who loses a connection.
    const place = (server) => servers.indexOf(server.host + ':' + server.port);
    k.connectionManager.servers.sort((one, other) => place(one) - place(other));
    k.states = [];
    k.on('state', (state) => k.states.push(state.getName()));
    const connected = within('the connection to ' + servers, new Promise((resolve, reject) => {
        k.once('connected', () => resolve(k));
        k.once('expired', () => reject(new Error('expired')));
    }));
    k.connect();
    return connected;
}

// close ends the session and waits for the server to close the connection.
function close(k) {
    const closed = new Promise((resolve) => k.once('disconnected', resolve));
    k.close();
    return within('the end of the session', closed);
}

async function fails(code, promise) {
    await assert.rejects(promise, (error) => {
        assert.strictEqual(error.code, code, String(error));
        return true;
    });
}

const transaction = (t) => new Promise((resolve) => t.commit((error, results) => resolve({ error, results })));

const cases = {
    async znodes(a, b) {
        const p = path('znodes');
        assert.strictEqual(await ask(a, 'create', p, bytes('one')), p);
        await fails(Exception.NODE_EXISTS, ask(a, 'create', p));
        await fails(Exception.NO_NODE, ask(a, 'create', path('none/x')));
        let { data, stat } = await get(b, p);
        assert.strictEqual(data.toString(), 'one');
        assert.strictEqual(stat.version, 0);
        assert.strictEqual(stat.dataLength, 3);
        assert.deepStrictEqual(stat.czxid, stat.mzxid);
        await fails(Exception.BAD_VERSION, ask(a, 'setData', p, bytes('two'), 5));
        stat = await ask(a, 'setData', p, bytes('three'), 0);
        assert.strictEqual(stat.version, 1);
        assert(stat.mzxid.compare(stat.czxid) > 0);
        await ask(a, 'setData', p, Buffer.alloc(0));
        ({ data, stat } = await get(b, p));
        assert(Buffer.isBuffer(data) && data.length === 0, 'empty data came back as ' + data);
        assert.strictEqual(stat.version, 2);
        const big = Buffer.alloc(1000000, 'x');
        await ask(a, 'setData', p, big);
        assert((await get(b, p)).data.equals(big));
        await ask(a, 'create', p + '/käse');
        assert(!(await get(b, p + '/käse')).data, 'no data came back as some');
        await fails(Exception.NOT_EMPTY, ask(a, 'remove', p));
        const [children, of] = await ask(b, 'getChildren', p);
        assert.deepStrictEqual(children, ['käse']);
        assert.strictEqual(of.numChildren, 1);
        assert.strictEqual(of.cversion, 1);
        await ask(a, 'remove', p + '/käse', 0);
        await fails(Exception.BAD_VERSION, ask(a, 'remove', p, 9));
        await ask(a, 'remove', p, 3);
        assert.strictEqual(await ask(b, 'exists', p), null);
        await fails(Exception.NO_NODE, get(b, p));
    },

    async modes(a) {
        const p = path('modes');
        await ask(a, 'create', p);
        const wanted = [[CreateMode.PERSISTENT_SEQUENTIAL, 0], [CreateMode.EPHEMERAL_SEQUENTIAL, 1], [CreateMode.PERSISTENT_SEQUENTIAL, 2]];
        for (const [flags, number] of wanted) {
            const made = await ask(a, 'create', p + '/s-', null, OPEN, flags);
            assert.strictEqual(made, p + '/s-' + String(number).padStart(10, '0'));
            const { ephemeralOwner } = await ask(a, 'exists', made);
            assert(ephemeralOwner.equals(number === 1 ? a.getSessionId() : Buffer.alloc(8)));
        }
        const e = await ask(a, 'create', p + '/e', CreateMode.EPHEMERAL);
        await fails(Exception.NO_CHILDREN_FOR_EPHEMERALS, ask(a, 'create', e + '/x'));
        const k = await open(hosts);
        await ask(k, 'create', p + '/mine', CreateMode.EPHEMERAL);
        await close(k);
        assert.strictEqual(await ask(a, 'exists', p + '/mine'), null);
    },

    // The client's listing does not go deeper than one level, whatever the server.
    async trees(a) {
        assert.strictEqual(await ask(a, 'mkdirp', path('trees/of/wood'), bytes('x')), path('trees/of/wood'));
        await ask(a, 'mkdirp', path('trees/of/iron'));
        const all = await ask(a, 'listSubTreeBFS', path('trees/of'));
        assert.deepStrictEqual(all.slice().sort(), ['trees/of', 'trees/of/iron', 'trees/of/wood'].map(path));
        await ask(a, 'removeRecursive', path('trees/of'));
        assert.strictEqual(await ask(a, 'exists', path('trees/of')), null);
    },

    async watches(a, b) {
        const p = path('watched');
        const created = tell(), changed = tell(), childs = tell(), deleted = tell(), again = tell();
        assert.strictEqual(await ask(b, 'exists', p, created.watcher), null);
        await ask(a, 'create', p);
        assert.strictEqual((await within('created', created.first)).getType(), Event.NODE_CREATED);
        await get(b, p, changed.watcher);
        await ask(b, 'getChildren', p, childs.watcher);
        await ask(a, 'setData', p, bytes('1'));
        const event = await within('changed', changed.first);
        assert.strictEqual(event.getType(), Event.NODE_DATA_CHANGED);
        assert.strictEqual(event.getPath(), p);
        assert.strictEqual((await get(b, p)).data.toString(), '1');
        await ask(a, 'create', p + '/kid');
        assert.strictEqual((await within('children', childs.first)).getType(), Event.NODE_CHILDREN_CHANGED);
        assert((await ask(b, 'exists', p + '/kid', deleted.watcher)) !== null);
        await ask(b, 'getChildren', p, again.watcher);
        await ask(a, 'remove', p + '/kid');
        assert.strictEqual((await within('deleted', deleted.first)).getType(), Event.NODE_DELETED);
        assert.strictEqual((await within('children again', again.first)).getType(), Event.NODE_CHILDREN_CHANGED);
        await ask(a, 'setData', p, bytes('2')); // watches fire once
        await get(b, p);
        assert.deepStrictEqual([created, changed, childs, deleted, again].map((t) => t.count), [1, 1, 1, 1, 1]);
    },

    async transactions(a) {
        const p = path('transaction');
        let done = await transaction(a.transaction().create(p, bytes('1')).create(p + '/kid').create(p + '/s-', CreateMode.PERSISTENT_SEQUENTIAL)
            .setData(p, bytes('2')).check(p, 1).remove(p + '/kid'));
        assert(!done.error, String(done.error));
        assert.strictEqual(done.results.length, 6);
        assert.deepStrictEqual(done.results.slice(0, 3).map((r) => r.path), [p, p + '/kid', p + '/s-0000000001']);
        assert.strictEqual(done.results[3].stat.version, 1);
        done = await transaction(a.transaction().remove(p + '/s-0000000001').check(p, 7).remove(p));
        assert.strictEqual(done.error.code, Exception.BAD_VERSION);
        assert.deepStrictEqual(done.results.map((r) => r.err), [0, Exception.BAD_VERSION, Exception.RUNTIME_INCONSISTENCY]);
        assert((await ask(a, 'exists', p + '/s-0000000001')) !== null);
    },

    async acls(a) {
        const p = path('acl');
        const owner = await open(hosts);
        owner.addAuthInfo('digest', bytes('bob:secret'));
        await ask(owner, 'create', p, bytes('x'), ACL.CREATOR_ALL_ACL);
        await fails(Exception.NO_AUTH, get(a, p));
        await fails(Exception.NO_AUTH, ask(a, 'setData', p, bytes('y')));
        await fails(Exception.NO_AUTH, ask(a, 'setACL', p, OPEN));
        const [list, stat] = await ask(owner, 'getACL', p);
        const digest = 'bob:' + crypto.createHash('sha1').update('bob:secret').digest('base64');
        assert.deepStrictEqual(list, [new ACL(Permission.ALL, new Id('digest', digest))]);
        assert.strictEqual(stat.aversion, 0);
        const both = [new ACL(Permission.READ, Id.ANYONE_ID_UNSAFE), new ACL(Permission.ADMIN | Permission.READ, new Id('digest', digest))];
        assert.strictEqual((await ask(owner, 'setACL', p, both, 0)).aversion, 1);
        await fails(Exception.BAD_VERSION, ask(owner, 'setACL', p, OPEN, 0));
        assert.strictEqual((await get(a, p)).data.toString(), 'x');
        const [seen] = await ask(a, 'getACL', p);
        assert.deepStrictEqual(seen.map((acl) => acl.id.id).sort(), ['anyone', 'bob:x']); // digests are hidden from who may not change them
        await fails(Exception.NO_AUTH, ask(owner, 'setData', p, bytes('y')));
        await fails(Exception.INVALID_ACL, ask(a, 'create', p + '/x', [new ACL(Permission.ALL, new Id('nosuch', 'x'))]));
        await close(owner);
        const stranger = await open(hosts);
        const refused = new Promise((resolve) => stranger.once('authenticationFailed', resolve));
        stranger.addAuthInfo('nosuch', bytes('x'));
        await within('the refusal of a scheme', refused);
    },

    async pipeline(a) {
        const p = path('pipeline');
        await ask(a, 'create', p);
        const versions = await Promise.all(Array.from({ length: 10000 }, (_, i) => ask(a, 'setData', p, bytes(String(i)))));
        versions.forEach((stat, i) => assert.strictEqual(stat.version, i + 1));
    },

    async chroot(a) {
        await ask(a, 'create', path('chroot'));
        const k = await open(hosts + path('chroot'));
        const created = tell();
        await ask(k, 'exists', '/x/y', created.watcher);
        assert.strictEqual(await ask(k, 'mkdirp', '/x/y', bytes('in')), '/x/y');
        assert.strictEqual((await within('created', created.first)).getPath(), '/x/y');
        assert.strictEqual((await get(a, path('chroot/x/y'))).data.toString(), 'in');
        const { results } = await transaction(k.transaction().create('/z').remove('/z'));
        assert.strictEqual(results[0].path, '/z');
        await close(k);
    },
};

async function all() {
    const a = await open(hosts), b = await open(hosts.split(',').slice(-1)[0]);
    await ask(a, 'create', root);
    for (const [name, run] of Object.entries(cases)) {
        await run(a, b);
        console.log('ok ' + name);
    }
    console.log('done ' + JSON.stringify([a.states, b.states]));
    await close(a);
    await close(b);
}

// count adds to a znode that only this client may write, under its version, through whatever happens. Its watches are armed
// before; the first line on stdin says that what they watch will have changed, the second that it is enough.
async function count() {
    const k = await open(hosts);
    k.addAuthInfo('digest', bytes(root + ':secret'));
    await ask(k, 'create', root, bytes('0'), ACL.CREATOR_ALL_ACL);
    await ask(k, 'create', root + '/alive', CreateMode.EPHEMERAL);
    const watched = { changed: tell(), children: tell(), created: tell(), deleted: tell() };
    await get(k, '/news', watched.changed.watcher);
    await ask(k, 'getChildren', '/news', watched.children.watcher);
    await ask(k, 'exists', '/news/created', watched.created.watcher);
    await ask(k, 'exists', '/news/deleted', watched.deleted.watcher);
    const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
    const seen = lines.next().then(() => within('the events', Promise.all(Object.values(watched).map((t) => t.first))));
    let enough = false;
    seen.then(() => console.log('told')).then(() => lines.next()).then(() => { enough = true; });
    console.log('counting');
    let n = 0;
    while (!enough) {
        try {
            const stat = await ask(k, 'setData', root, bytes(String(n + 1)), n);
            assert.strictEqual(stat.version, ++n);
        } catch (error) {
            if (error.code !== Exception.CONNECTION_LOSS) throw error;
            // Requests are asked only when connected: this client would send those of before ahead of its credentials.
            if (k.getState().getName() !== 'SYNC_CONNECTED') await within('a connection', new Promise((resolve) => k.once('connected', resolve)));
            const { data, stat } = await get(k, root);
            assert(stat.version === n || stat.version === n + 1, 'version ' + stat.version + ' after ' + n);
            assert.strictEqual(data.toString(), String(stat.version));
            n = stat.version;
        }
    }
    const { ephemeralOwner } = await ask(k, 'exists', root + '/alive');
    assert(ephemeralOwner.equals(k.getSessionId()));
    const types = {};
    for (const [name, told] of Object.entries(watched)) {
        assert.strictEqual(told.count, 1, name + ': ' + told.count + ' events');
        types[name] = (await told.first).getName();
    }
    console.log('done ' + JSON.stringify({ counted: n, states: k.states, types }));
    await close(k);
}

async function own() {
    const k = await open(hosts);
    await ask(k, 'create', root, CreateMode.EPHEMERAL);
    console.log(k.getSessionId().toString('hex') + ' ' + k.getSessionPassword().toString('hex'));
}

async function resume(id, password) {
    const session = { sessionId: Buffer.from(id, 'hex'), sessionPassword: Buffer.from(password, 'hex') };
    const k = await open(hosts, session);
    assert(k.getSessionId().equals(session.sessionId));
    assert((await ask(k, 'exists', root)).ephemeralOwner.equals(session.sessionId));
    await close(k);
    await assert.rejects(open(hosts, session), /expired/);
    const other = await open(hosts);
    assert.strictEqual(await ask(other, 'exists', root), null);
    await close(other);
    console.log('done');
}

({ undefined: all, count, own, resume })[mode](...rest).then(() => mode === 'own' || process.exit(0), (error) => {
    console.log('FAIL ' + error.stack);
    process.exit(1);
});

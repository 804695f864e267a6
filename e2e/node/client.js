// node-zookeeper-client against Strata: requests, watches, and a counter that goes on while a member is killed.
//
//   node client.js HOSTS ROOT         says "ok CASE" after each case, then "done STATES"
//   node client.js HOSTS ROOT count   says "counting", counts until a line comes on stdin, then "done {count, states, sameSession}"
'use strict';

const assert = require('node:assert');
const { promisify } = require('node:util');
const zookeeper = require('node-zookeeper-client');

const { ACL, CreateMode, Exception, Permission, Id, State } = zookeeper;
const PATIENCE = 40000;
const [hosts, root, mode] = process.argv.slice(2);

// Client is a client whose methods return promises, and that remembers what it went through.
class Client {
  constructor(where) {
    this.zk = zookeeper.createClient(where, { sessionTimeout: 6000, retries: 10, spinDelay: 100 });
    this.states = [];
    this.zk.on('state', (s) => this.states.push(s.getName()));
    for (const name of ['create', 'exists', 'getData', 'getChildren', 'setData', 'remove', 'getACL', 'setACL', 'mkdirp', 'listSubTreeBFS']) {
      this[name] = promisify(this.zk[name].bind(this.zk));
    }
  }

  start() {
    return new Promise((done) => {
      this.zk.once('connected', () => done(this));
      this.zk.connect();
    });
  }

  // createAll also gives the watch-less calls their optional arguments.
  data(path, watcher) {
    return new Promise((done, failed) => this.zk.getData(path, watcher, (e, data, stat) => (e ? failed(e) : done([data, stat]))));
  }

  children(path, watcher) {
    return new Promise((done, failed) => this.zk.getChildren(path, watcher, (e, kids, stat) => (e ? failed(e) : done([kids, stat]))));
  }

  commit(txn) {
    return new Promise((done, failed) => txn.commit((e, results) => (e ? failed(Object.assign(e, { results })) : done(results))));
  }
}

async function fails(code, promise) {
  await assert.rejects(promise, (e) => {
    assert.strictEqual(e.getCode && e.getCode(), code, String(e));
    return true;
  });
}

// event is a watcher with a promise of its first event.
function event() {
  let tell;
  const heard = new Promise((done, failed) => {
    tell = done;
    setTimeout(() => failed(new Error('no event')), PATIENCE).unref();
  });
  return { watcher: (e) => tell(e), heard };
}

const cases = {
  async znodes(a, b) {
    const path = root + '/znode';
    assert.strictEqual(await a.create(path, Buffer.from('one'), ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT), path);
    await fails(Exception.NODE_EXISTS, a.create(path, null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    await fails(Exception.NO_NODE, a.create(root + '/none/x', null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
    await fails(Exception.BAD_VERSION, a.setData(path, Buffer.from('two'), 7));
    const stat = await a.setData(path, Buffer.from('two'), 0);
    assert.strictEqual(stat.version, 1);
    const [data] = await a.data(path);
    assert.strictEqual(data.toString(), 'two');
    await a.create(path + '/kid', null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    await fails(Exception.NOT_EMPTY, a.remove(path, -1));
    const [kids, parent] = await a.children(path);
    assert.deepStrictEqual([kids, parent.numChildren, parent.cversion], [['kid'], 1, 1]);
    assert.deepStrictEqual(await a.listSubTreeBFS(path), [path, path + '/kid']);
    await a.remove(path + '/kid', 0);
    await fails(Exception.BAD_VERSION, a.remove(path, 0));
    await a.remove(path, 1);
    assert.strictEqual(await a.exists(path), null);
    await a.mkdirp(root + '/deep/er/down');
    assert.notStrictEqual(await a.exists(root + '/deep/er'), null);
    const big = Buffer.alloc(900000, 'x');
    await a.setData(root + '/deep', big, -1);
    const [got] = await a.data(root + '/deep');
    assert.ok(got.equals(big));
  },

  async modes(a) {
    await a.create(root + '/modes', null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    const made = [];
    for (const mode of [CreateMode.PERSISTENT_SEQUENTIAL, CreateMode.EPHEMERAL_SEQUENTIAL, CreateMode.PERSISTENT_SEQUENTIAL]) {
      made.push(await a.create(root + '/modes/s-', null, ACL.OPEN_ACL_UNSAFE, mode));
    }
    assert.deepStrictEqual(made, [0, 1, 2].map((n) => `${root}/modes/s-000000000${n}`));
    const stat = await a.exists(made[1]);
    assert.ok(stat.ephemeralOwner.equals(a.zk.getSessionId()));
    await fails(Exception.NO_CHILDREN_FOR_EPHEMERALS, a.create(made[1] + '/x', null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT));
  },

  async transactions(a) {
    const path = root + '/txn';
    const results = await a.commit(a.zk.transaction().create(path, Buffer.from('1')).create(path + '/kid').check(path, 0).setData(path, Buffer.from('2'), 0).remove(path + '/kid'));
    assert.strictEqual(results.length, 5);
    assert.strictEqual(results[0].path, path);
    assert.strictEqual(results[3].stat.version, 1);
    await assert.rejects(a.commit(a.zk.transaction().create(path + '/other').check(path, 9).remove(path)), (e) => {
      assert.strictEqual(e.getCode(), Exception.BAD_VERSION);
      return true;
    });
    assert.strictEqual(await a.exists(path + '/other'), null);
  },

  async watches(a, b) {
    const path = root + '/watched';
    let w = event();
    assert.strictEqual(await b.exists(path, w.watcher), null);
    await a.create(path, Buffer.from('1'), ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    let e = await w.heard;
    assert.deepStrictEqual([e.getName(), e.getPath()], ['NODE_CREATED', path]);
    w = event();
    await b.data(path, w.watcher);
    const kids = event();
    await b.children(path, kids.watcher);
    await a.setData(path, Buffer.from('2'), -1);
    e = await w.heard;
    assert.deepStrictEqual([e.getName(), e.getPath()], ['NODE_DATA_CHANGED', path]);
    await a.create(path + '/kid', null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    e = await kids.heard;
    assert.deepStrictEqual([e.getName(), e.getPath()], ['NODE_CHILDREN_CHANGED', path]);
    const gone = event();
    await b.exists(path + '/kid', gone.watcher);
    await a.remove(path + '/kid', -1);
    assert.strictEqual((await gone.heard).getName(), 'NODE_DELETED');
  },

  async acls(a) {
    const owner = await new Client(hosts).start();
    const path = root + '/acl';
    owner.zk.addAuthInfo('digest', Buffer.from('bob:secret'));
    const mine = [new ACL(Permission.ALL, new Id('auth', ''))];
    await owner.create(path, Buffer.from('x'), mine, CreateMode.PERSISTENT);
    await fails(Exception.NO_AUTH, a.data(path));
    await fails(Exception.NO_AUTH, a.setData(path, Buffer.from('y'), -1));
    await fails(Exception.NO_AUTH, a.setACL(path, ACL.OPEN_ACL_UNSAFE, -1));
    const [data] = await owner.data(path);
    assert.strictEqual(data.toString(), 'x');
    const stat = await owner.setACL(path, ACL.READ_ACL_UNSAFE, 0);
    assert.strictEqual(stat.aversion, 1);
    assert.strictEqual((await a.data(path))[0].toString(), 'x');
    await fails(Exception.NO_AUTH, a.setData(path, Buffer.from('y'), -1));
    owner.zk.close();
  },

  async pipeline(a) {
    const path = root + '/pipeline';
    await a.create(path, null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    const stats = await Promise.all(Array.from({ length: 2000 }, () => a.setData(path, Buffer.from('x'), -1)));
    assert.deepStrictEqual(stats.map((s) => s.version), stats.map((_, i) => i + 1));
  },
};

// count adds to a znode of its own under its version; what became of a write whose answer was lost is read off the version.
async function count(a) {
  await a.create(root, Buffer.from('0'), ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
  const session = a.zk.getSessionId().toString('hex');
  let n = 0;
  let stopped = false;
  process.stdin.once('data', () => { stopped = true; });
  console.log('counting');
  const connected = async () => {
    for (const end = Date.now() + PATIENCE; a.zk.getState() !== State.SYNC_CONNECTED;) {
      assert.ok(Date.now() < end, 'not connected again');
      await new Promise((done) => setTimeout(done, 10));
    }
  };
  while (!stopped) {
    try {
      const stat = await a.setData(root, Buffer.from(String(n + 1)), n);
      n += 1;
      assert.strictEqual(stat.version, n);
    } catch (e) {
      assert.ok(e.getCode && e.getCode() === Exception.CONNECTION_LOSS || e.getCode && e.getCode() === Exception.BAD_VERSION, String(e));
      await connected();
      const [data, stat] = await a.data(root);
      assert.ok(stat.version === n || stat.version === n + 1, `${stat.version} after ${n}`);
      assert.strictEqual(Number(data.toString()), stat.version);
      n = stat.version;
    }
  }
  console.log('done ' + JSON.stringify({ count: n, states: a.states, sameSession: a.zk.getSessionId().toString('hex') === session }));
}

async function main() {
  const a = await new Client(hosts).start();
  if (mode === 'count') {
    await count(a);
  } else {
    const b = await new Client(hosts.split(',').reverse().join(',')).start();
    await a.create(root, null, ACL.OPEN_ACL_UNSAFE, CreateMode.PERSISTENT);
    for (const [name, run] of Object.entries(cases)) {
      await run(a, b);
      console.log('ok ' + name);
    }
    console.log('done ' + JSON.stringify([a.states, b.states]));
    b.zk.close();
  }
  a.zk.close();
  process.exitCode = 0;
  setTimeout(() => process.exit(), 100).unref();
  process.stdin.destroy();
}

main().catch((e) => {
  console.log('FAIL ' + (e.stack || e));
  process.exit(1);
});

// Package discovery registers the instances of a service and follows who is there.
//
//	reg, err := discovery.Register(ctx, node, "/services/api", discovery.Instance{
//		Addr:  "10.0.0.5:9090",
//		Check: discovery.HTTP("http://10.0.0.5:9090/healthz", time.Second),
//	})
//	defer reg.Close()
//
//	api, err := discovery.Watch(ctx, node, "/services/api")
//	defer api.Close()
//	for _, instance := range api.Instances() { ... }
//
// [Watcher.Instances] is a read of local memory: it takes no lock and no network, and goes on answering with the last-known
// set when the cluster, or this member's way to it, is gone. On an eventual route (/services is one by default) registering goes on
// as well, on both sides of a partition.
//
// # In the tree
//
// An instance is an ephemeral znode, a child of the service's znode. Its name is the instance's id, by default its address. Its
// data is a JSON object with these fields, of which the last two may be missing:
//
//	{"addr": "10.0.0.5:9090", "id": "api-3", "meta": {"zone": "b"}}
//
// Clients of ZooKeeper see them with getChildren and getData, and register instances by creating such znodes. A child whose data is
// no such object is an instance too: its name is taken as id and address, and its data is in [Instance.Data].
package discovery

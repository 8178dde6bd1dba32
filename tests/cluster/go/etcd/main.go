// etcd of the version that Kubernetes is tested with: an older one, as
// distributions have it, cannot tell the API server how far it has come, and
// watches then end with "Too large resource version".
package main

import (
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
)

func main() { etcdmain.Main(os.Args) }

// The cluster's DNS: CoreDNS with the plugins that the cluster's Corefile
// names, and no others.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"
	_ "github.com/coredns/coredns/plugin/bind"
	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/ready"
)

// The order in which a query passes through them.
func init() {
	dnsserver.Directives = []string{
		"bind", "ready", "errors", "cache", "kubernetes", "forward",
	}
}

func main() { coremain.Run() }

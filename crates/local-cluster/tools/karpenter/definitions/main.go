// Prints the custom resource definitions of Karpenter and of its KWOK provider as a JSON array.
package main

import (
	"encoding/json"
	"os"

	kwok "sigs.k8s.io/karpenter/kwok/apis"
	core "sigs.k8s.io/karpenter/pkg/apis"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(append(core.CRDs, kwok.CRDs...)); err != nil {
		panic(err)
	}
}

//go:build tools

// Package tools names what infra/local/setup_pulumi.sh builds, so that go.mod and go.sum pin it.
package tools

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"

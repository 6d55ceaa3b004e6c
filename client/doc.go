// Package client calls the management API of Hearth, /v1.
//
//	c, err := client.New(client.Config{URL: "http://127.0.0.1:8080", Token: token})
//	f, err := c.PutFunction(ctx, "acme", "billing", "paid", client.FunctionSpec{Code: code}, 30*time.Second)
//
// Every call takes a context, which bounds it in time; answers are bounded in size. What the API
// refuses is an *Error that holds its problem document. The package keeps no state but idle
// connections, sends the token to no other host than the one it was given, and never prints it.
//
// It imports nothing of Hearth, so that programs outside can use it.
package client

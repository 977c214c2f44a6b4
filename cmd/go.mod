module github.com/rollcall-sd/rollcall/cmd

go 1.25.0

require (
	github.com/rollcall-sd/rollcall v0.1.0
	github.com/spf13/cobra v1.10.2
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	github.com/dgryski/go-rendezvous v0.0.0-20200823014737-9f7001d12a5f // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/inconshreveable/mousetrap v1.1.0 // indirect
	github.com/redis/go-redis/v9 v9.17.3 // indirect
	github.com/spf13/pflag v1.0.9 // indirect
)

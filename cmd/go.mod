module github.com/rollcall-sd/rollcall/cmd

go 1.25.0

require github.com/rollcall-sd/rollcall v0.0.0

replace github.com/rollcall-sd/rollcall => ../

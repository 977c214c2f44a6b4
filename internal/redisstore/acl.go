package redisstore

// ACLRule gives a Redis user the least that a registry needs, on a standalone
// server and behind Sentinels: the keys and channels that begin with "rollcall:"
// and the commands that the scripts and this package send. On a Cluster add
// ACLClusterRule. A user is made with
//
//	ACL SETUSER app on >password <ACLRule>
//
// The narrower ~rollcall:NAMESPACE:* and &rollcall:NAMESPACE:* will do when all
// of the user's registries have that namespace.
const ACLRule = "resetkeys ~rollcall:* resetchannels &rollcall:* -@all " +
	"+ping +info +select +subscribe +unsubscribe " +
	"+eval +evalsha +time +publish " +
	"+del +pexpireat +pttl " +
	"+hget +hset +hdel +hlen +hmget +hgetall " +
	"+zadd +zrem +zscore +zcount +zrange +zrangebyscore +zrevrangebyscore +zremrangebyscore"

// ACLClusterRule grants what finding the nodes of a Cluster needs as well.
const ACLClusterRule = "+cluster|slots +asking +command"

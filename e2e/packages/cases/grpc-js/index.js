const grpc = require('@grpc/grpc-js');
const { fromJSON } = require('@grpc/proto-loader');
const protobuf = require('protobufjs');
const { root } = protobuf.parse('syntax = "proto3"; package x; message N { int32 a = 1; int32 b = 2; } service Calc { rpc Add (N) returns (N); rpc Count (N) returns (stream N); }');
const { x } = grpc.loadPackageDefinition(fromJSON(root.toJSON()));
module.exports = async () => {
  const server = new grpc.Server();
  let meta;
  server.addService(x.Calc.service, {
    Add: (call, cb) => { meta = call.metadata.get('k')[0] ?? meta; cb(call.request.a < 0 ? { code: grpc.status.INVALID_ARGUMENT, details: 'negative' } : null, { a: call.request.a + call.request.b }); },
    Count: call => { for (let a = 1; a <= call.request.a; a++) call.write({ a }); call.end(); },
  });
  const port = await new Promise((ok, no) => server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (e, p) => (e ? no(e) : ok(p))));
  const client = new x.Calc(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const md = new grpc.Metadata();
  md.set('k', 'v');
  const sum = await new Promise((ok, no) => client.Add({ a: 2, b: 3 }, md, (e, r) => (e ? no(e) : ok(r.a))));
  const stream = (await client.Count({ a: 3 }).toArray()).map(n => n.a);
  const error = await new Promise(ok => client.Add({ a: -1 }, e => ok([e.code, e.details])));
  client.close();
  server.forceShutdown();
  return { sum, stream, error, meta };
};

const zmq = require('zeromq');
module.exports = async () => {
  const rep = new zmq.Reply(), req = new zmq.Request();
  await rep.bind('tcp://127.0.0.1:5555');
  req.connect('tcp://127.0.0.1:5555');
  await req.send('hello');
  const [asked] = await rep.receive();
  await rep.send(String(asked).toUpperCase());
  const [reply] = await req.receive();
  const push = new zmq.Push(), pull = new zmq.Pull();
  await pull.bind('tcp://127.0.0.1:5556');
  push.connect('tcp://127.0.0.1:5556');
  await push.send(['a', '1']);
  const topics = [(await pull.receive()).join('')];
  for (const s of [rep, req, push, pull]) s.close();
  return { reply: String(reply), topics };
};

const { Webhook } = require('standardwebhooks');
const hook = new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
module.exports = async () => {
  const id = 'msg_p5jXN8AQM9LWM0D4loKWxJek', sign = hook.sign(id, new Date(1614265330000), '{"test": 2432232314}');
  let old;
  try { hook.verify('{"test": 2432232314}', { 'webhook-id': id, 'webhook-timestamp': '1614265330', 'webhook-signature': sign }); } catch (e) { old = e.message; }
  return { sign, old };
};

const { Webhook } = require('svix');
const hook = new Webhook('whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw');
module.exports = async () => {
  const now = new Date(), stamp = String(Math.floor(now / 1000));
  const headers = { 'svix-id': 'm', 'svix-timestamp': stamp, 'svix-signature': hook.sign('m', now, '{"test": 2432232314}') };
  let forged;
  try { hook.verify('{"test": 1}', headers); } catch (e) { forged = e.message; }
  return { ...hook.verify('{"test": 2432232314}', headers), sign: hook.sign('msg_p5jXN8AQM9LWM0D4loKWxJek', new Date(1614265330000), '{"test": 2432232314}'), forged };
};

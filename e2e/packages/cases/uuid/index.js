const { v3, v4, v5, validate, version } = require('uuid');
module.exports = async () => ({
  v5: v5('www.example.com', v5.DNS),
  v3: v3('www.example.com', v3.DNS),
  version: version(v4()),
  valid: [validate('2ed6657d-e927-568b-95e1-2665a8aea6a2'), validate('2ed6657d-e927-568b-95e1-2665a8aea6ag')],
});

const bcrypt = require('bcryptjs');
module.exports = async () => ({
  hash: await bcrypt.hash('U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.'),
  ok: await bcrypt.compare('U*U*', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'),
  no: await bcrypt.compare('U*U', '$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK'),
});

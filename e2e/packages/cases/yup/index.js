const yup = require('yup');
const schema = yup.object({ name: yup.string().trim().lowercase().required(), n: yup.number().min(2) });
module.exports = async () => ({
  cast: await schema.validate({ name: ' BOB ', n: '3' }),
  errors: await schema.validate({ n: 1 }, { abortEarly: false }).catch(e => e.errors.sort().reverse()),
});

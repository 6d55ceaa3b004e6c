const { validatePaymentVerification, validateWebhookSignature } = require('razorpay/dist/utils/razorpay-utils');
const check = order_id => validatePaymentVerification({ order_id, payment_id: 'pay_1' }, '52115a0d3400de9e86aade1f1b6eba9e8974604f4e267a9e9a16633a4c8dd2cb', 'secret');
module.exports = async () => ({ valid: [check('order_1'), check('order_2')], hook: validateWebhookSignature('order_1|pay_1', '52115a0d3400de9e86aade1f1b6eba9e8974604f4e267a9e9a16633a4c8dd2cb', 'secret') });

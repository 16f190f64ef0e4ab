
import django.contrib.postgres.functions
import django.db.models.deletion
import monitoring.fields
import positions.models.accounts
import uuid
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('monitoring', '0006_screened_since'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name='ManagementEffectiveness',
            fields=[
                ('trader', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='monitoring.trader')),
                ('avg_decisions_per_trade', monitoring.fields.NumericField(null=True)),
                ('avg_sl_adjustments', monitoring.fields.NumericField(null=True)),
                ('avg_tp_adjustments', monitoring.fields.NumericField(null=True)),
                ('avg_partial_exits', monitoring.fields.NumericField(null=True)),
                ('profit_retention_ratio', monitoring.fields.NumericField(null=True)),
                ('managed_win_rate', monitoring.fields.NumericField(null=True)),
            ],
            options={
                'verbose_name_plural': 'management effectiveness',
                'db_table': 'management_effectiveness',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='ManagementPosition',
            fields=[
                ('position_id', models.UUIDField(primary_key=True, serialize=False)),
                ('trader_id', models.UUIDField()),
                ('symbol', models.TextField()),
                ('closed_at', models.DateTimeField()),
                ('decisions', models.IntegerField()),
                ('sl_adjustments', models.IntegerField()),
                ('tp_adjustments', models.IntegerField()),
                ('partial_exits', models.IntegerField()),
                ('final_pnl', monitoring.fields.NumericField()),
                ('max_pnl', monitoring.fields.NumericField()),
                ('won', models.BooleanField()),
            ],
            options={
                'db_table': 'management_effectiveness_positions',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='MonitoringEffectiveness',
            fields=[
                ('trader', models.OneToOneField(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, primary_key=True, related_name='+', serialize=False, to='monitoring.trader')),
                ('total_monitored', models.IntegerField()),
                ('entered_trades', models.IntegerField()),
                ('abandoned_setups', models.IntegerField()),
                ('avg_hours_to_entry', monitoring.fields.NumericField(null=True)),
                ('win_rate_after_monitoring', monitoring.fields.NumericField(null=True)),
            ],
            options={
                'verbose_name_plural': 'monitoring effectiveness',
                'db_table': 'monitoring_effectiveness',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='MonitoringSignal',
            fields=[
                ('signal_id', models.UUIDField(primary_key=True, serialize=False)),
                ('trader_id', models.UUIDField()),
                ('symbol', models.TextField()),
                ('interval', models.TextField()),
                ('analyst', models.TextField()),
                ('model', models.TextField()),
                ('prompt_version', models.TextField()),
                ('monitoring_started_at', models.DateTimeField()),
                ('entered', models.BooleanField()),
                ('abandoned', models.BooleanField()),
                ('hours_to_entry', monitoring.fields.NumericField(null=True)),
                ('won', models.BooleanField(null=True)),
            ],
            options={
                'db_table': 'monitoring_effectiveness_signals',
                'managed': False,
            },
        ),
        migrations.CreateModel(
            name='ExchangeAccount',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('name', models.CharField(max_length=120)),
                ('kind', models.CharField(choices=[('paper', 'Paper'), ('binance', 'Binance'), ('bybit', 'Bybit'), ('okx', 'Okx')], db_default='paper', default='paper', max_length=16)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], db_default='binance', default='binance', max_length=32)),
                ('credentials', models.BinaryField(blank=True, null=True)),
                ('is_live', models.BooleanField(db_default=False, default=False, editable=False)),
                ('leverage', monitoring.fields.NumericField(db_default=1, default=1)),
                ('margin_mode', models.CharField(choices=[('isolated', 'isolated'), ('cross', 'cross')], db_default='isolated', default='isolated', max_length=16)),
                ('position_mode', models.CharField(choices=[('one_way', 'one way')], db_default='one_way', default='one_way', max_length=16)),
                ('maker_fee_rate', monitoring.fields.NumericField(db_default=models.Value('0.001', monitoring.fields.NumericField()), default='0.001')),
                ('taker_fee_rate', monitoring.fields.NumericField(db_default=models.Value('0.001', monitoring.fields.NumericField()), default='0.001')),
                ('slippage_rate', monitoring.fields.NumericField(db_default=models.Value('0.0005', monitoring.fields.NumericField()), default='0.0005')),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('user', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='exchange_accounts', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'db_table': 'exchange_accounts',
            },
        ),
        migrations.CreateModel(
            name='Order',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('cause', models.CharField(choices=[('decision', 'Decision'), ('rule', 'Rule'), ('operator', 'Operator'), ('reconciliation', 'Reconciliation')], max_length=16)),
                ('cause_id', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('leg', models.CharField(choices=[('entry', 'Entry'), ('stop', 'Stop'), ('target', 'Target'), ('add', 'Add'), ('reduce', 'Reduce'), ('close', 'Close')], max_length=8)),
                ('generation', models.PositiveIntegerField(db_default=0, default=0)),
                ('side', models.CharField(choices=[('buy', 'buy'), ('sell', 'sell')], max_length=4)),
                ('type', models.CharField(choices=[('market', 'market'), ('limit', 'limit'), ('stop_market', 'stop market')], max_length=16)),
                ('quantity', monitoring.fields.NumericField()),
                ('price', monitoring.fields.NumericField(blank=True, null=True)),
                ('trigger_price', monitoring.fields.NumericField(blank=True, null=True)),
                ('reduce_only', models.BooleanField(db_default=False, default=False)),
                ('client_order_id', models.CharField(max_length=32, unique=True)),
                ('exchange_order_id', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('status', models.CharField(choices=[('intended', 'Intended'), ('sent', 'Sent'), ('open', 'Open'), ('partially_filled', 'Partially Filled'), ('filled', 'Filled'), ('canceled', 'Canceled'), ('rejected', 'Rejected'), ('unknown', 'Unknown')], db_default='intended', default='intended', max_length=20)),
                ('filled', monitoring.fields.NumericField(db_default=0, default=0)),
                ('average_price', monitoring.fields.NumericField(blank=True, null=True)),
                ('intended_at', models.DateTimeField(db_default=monitoring.fields.AppNow())),
                ('sent_at', models.DateTimeField(blank=True, null=True)),
                ('acknowledged_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('error', models.TextField(blank=True, db_default='', default='')),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='positions.exchangeaccount')),
                ('analysis', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='monitoring.signalanalysis')),
            ],
            options={
                'db_table': 'orders',
            },
        ),
        migrations.CreateModel(
            name='Fill',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('exchange_trade_id', models.CharField(max_length=64)),
                ('price', monitoring.fields.NumericField()),
                ('quantity', monitoring.fields.NumericField()),
                ('fee', monitoring.fields.NumericField(db_default=0, default=0)),
                ('fee_currency', models.CharField(blank=True, db_default='', default='', max_length=32)),
                ('at', models.DateTimeField()),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='+', to='positions.exchangeaccount')),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='fills', to='positions.order')),
            ],
            options={
                'db_table': 'fills',
            },
        ),
        migrations.CreateModel(
            name='PaperBalance',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('asset', models.CharField(max_length=32)),
                ('total', monitoring.fields.NumericField(db_default=0, default=0)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='paper_balances', to='positions.exchangeaccount')),
            ],
            options={
                'db_table': 'paper_balances',
            },
        ),
        migrations.CreateModel(
            name='PaperOrder',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('client_order_id', models.CharField(max_length=36)),
                ('symbol', models.CharField(max_length=128)),
                ('side', models.CharField(max_length=4)),
                ('type', models.CharField(max_length=16)),
                ('quantity', monitoring.fields.NumericField()),
                ('price', monitoring.fields.NumericField(blank=True, null=True)),
                ('trigger_price', monitoring.fields.NumericField(blank=True, null=True)),
                ('reduce_only', models.BooleanField(default=False)),
                ('status', models.CharField(db_default='open', default='open', max_length=20)),
                ('filled', monitoring.fields.NumericField(db_default=0, default=0)),
                ('quote_filled', monitoring.fields.NumericField(db_default=0, default=0)),
                ('created_ms', models.BigIntegerField()),
                ('matched_until', models.BigIntegerField(blank=True, null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='paper_orders', to='positions.exchangeaccount')),
            ],
            options={
                'db_table': 'paper_orders',
            },
        ),
        migrations.CreateModel(
            name='PaperPosition',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('symbol', models.CharField(max_length=128)),
                ('quantity', monitoring.fields.NumericField(db_default=0, default=0)),
                ('cost', monitoring.fields.NumericField(db_default=0, default=0)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='paper_positions', to='positions.exchangeaccount')),
            ],
            options={
                'db_table': 'paper_positions',
            },
        ),
        migrations.CreateModel(
            name='PaperTrade',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('price', monitoring.fields.NumericField()),
                ('quantity', monitoring.fields.NumericField()),
                ('fee', monitoring.fields.NumericField()),
                ('fee_currency', models.CharField(max_length=32)),
                ('at_ms', models.BigIntegerField()),
                ('order', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='trades', to='positions.paperorder')),
            ],
            options={
                'db_table': 'paper_trades',
            },
        ),
        migrations.CreateModel(
            name='Position',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('market', models.CharField(choices=[('binance', 'binance'), ('binance_futures', 'binance futures'), ('bybit', 'bybit'), ('okx', 'okx'), ('polymarket', 'polymarket')], max_length=32)),
                ('symbol', models.CharField(max_length=128)),
                ('side', models.CharField(choices=[('long', 'Long'), ('short', 'Short')], max_length=8)),
                ('status', models.CharField(choices=[('opening', 'Opening'), ('open', 'Open'), ('closing', 'Closing'), ('closed', 'Closed')], db_default='opening', default='opening', max_length=16)),
                ('contracts', monitoring.fields.NumericField(db_default=0, default=0)),
                ('planned_contracts', monitoring.fields.NumericField(db_default=0, default=0)),
                ('initial_contracts', monitoring.fields.NumericField(db_default=0, default=0)),
                ('cost', monitoring.fields.NumericField(db_default=0, default=0)),
                ('entry_price', monitoring.fields.NumericField(blank=True, null=True)),
                ('stop_loss', monitoring.fields.NumericField(blank=True, null=True)),
                ('initial_stop_loss', monitoring.fields.NumericField(blank=True, null=True)),
                ('take_profit', monitoring.fields.NumericField(blank=True, null=True)),
                ('realized_pnl', monitoring.fields.NumericField(db_default=0, default=0)),
                ('unrealized_pnl', monitoring.fields.NumericField(db_default=0, default=0)),
                ('max_pnl', monitoring.fields.NumericField(db_default=0, default=0)),
                ('fees', monitoring.fields.NumericField(db_default=0, default=0)),
                ('unprotected_seconds', monitoring.fields.NumericField(db_default=0, default=0)),
                ('opened_at', models.DateTimeField(blank=True, null=True)),
                ('closed_at', models.DateTimeField(blank=True, null=True)),
                ('close_reason', models.CharField(blank=True, db_default='', default='', max_length=64)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('lease_until', models.DateTimeField(blank=True, editable=False, null=True)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='positions', to='positions.exchangeaccount')),
                ('signal', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='positions', to='monitoring.signal')),
                ('trader', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='positions', to='monitoring.trader')),
            ],
            options={
                'db_table': 'positions',
            },
        ),
        migrations.AddField(
            model_name='order',
            name='position',
            field=models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='orders', to='positions.position'),
        ),
        migrations.CreateModel(
            name='PositionManagementDecision',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('timestamp', models.DateTimeField()),
                ('candle_time', models.BigIntegerField()),
                ('current_pnl', monitoring.fields.NumericField()),
                ('current_pnl_pct', monitoring.fields.NumericField()),
                ('position_size', monitoring.fields.NumericField()),
                ('action', models.CharField(choices=[('hold', 'Hold'), ('adjust_sl', 'Adjust Sl'), ('adjust_tp', 'Adjust Tp'), ('add', 'Add'), ('reduce', 'Reduce'), ('close', 'Close')], max_length=16)),
                ('confidence', monitoring.fields.NumericField()),
                ('reasoning', models.TextField()),
                ('action_details', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('market_price', monitoring.fields.NumericField()),
                ('indicators', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('risk_assessment', models.JSONField(blank=True, db_default=models.Value({}, models.JSONField()), default=dict)),
                ('outcome', models.CharField(blank=True, db_default='', default='', help_text='applied, or denied with the reason.', max_length=200)),
                ('created_at', models.DateTimeField(db_default=monitoring.fields.AppNow(), editable=False)),
                ('analysis', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='management_decisions', to='monitoring.signalanalysis')),
                ('position', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='decisions', to='positions.position')),
                ('run', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='management_decision', to='monitoring.workflowrun')),
                ('signal', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='management_decisions', to='monitoring.signal')),
            ],
            options={
                'db_table': 'position_management_decisions',
            },
        ),
        migrations.CreateModel(
            name='TradingProfile',
            fields=[
                ('id', models.UUIDField(db_default=django.contrib.postgres.functions.RandomUUID(), default=uuid.uuid4, editable=False, primary_key=True, serialize=False)),
                ('risk_per_trade_pct', monitoring.fields.NumericField(db_default=1, default=1)),
                ('max_position_notional', monitoring.fields.NumericField(db_default=10000, default=10000)),
                ('max_open_positions', models.PositiveIntegerField(db_default=5, default=5)),
                ('max_loss_per_position', monitoring.fields.NumericField(blank=True, null=True)),
                ('max_consecutive_losses', models.PositiveIntegerField(db_default=5, default=5)),
                ('min_risk_reward', monitoring.fields.NumericField(db_default=models.Value('1.5', monitoring.fields.NumericField()), default='1.5')),
                ('use_trailing_stop', models.BooleanField(db_default=False, default=False)),
                ('trailing_stop_distance', monitoring.fields.NumericField(db_default=2, default=2, help_text='Percent of the best price.')),
                ('partial_take_profit_levels', models.JSONField(blank=True, db_default=models.Value([25, 50, 75], models.JSONField()), default=positions.models.accounts.default_levels)),
                ('management_interval', models.CharField(blank=True, choices=[('1m', '1m'), ('3m', '3m'), ('5m', '5m'), ('15m', '15m'), ('30m', '30m'), ('1h', '1h'), ('2h', '2h'), ('4h', '4h'), ('6h', '6h'), ('8h', '8h'), ('12h', '12h'), ('1d', '1d')], db_default='', default='', help_text="Empty: the trader's own interval.", max_length=8)),
                ('account', models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, related_name='profiles', to='positions.exchangeaccount')),
                ('trader', models.OneToOneField(on_delete=django.db.models.deletion.PROTECT, related_name='profile', to='monitoring.trader')),
            ],
            options={
                'db_table': 'trading_profiles',
            },
        ),
        migrations.AddConstraint(
            model_name='exchangeaccount',
            constraint=models.UniqueConstraint(fields=('user', 'name'), name='account_name_once_per_user'),
        ),
        migrations.AddConstraint(
            model_name='exchangeaccount',
            constraint=models.CheckConstraint(condition=models.Q(('leverage__gte', 1), ('leverage__lte', 125)), name='account_leverage_in_bounds'),
        ),
        migrations.AddConstraint(
            model_name='exchangeaccount',
            constraint=models.CheckConstraint(condition=models.Q(('maker_fee_rate__gte', 0), ('slippage_rate__gte', 0), ('slippage_rate__lt', 1), ('taker_fee_rate__gte', 0)), name='account_rates_in_bounds'),
        ),
        migrations.AddConstraint(
            model_name='exchangeaccount',
            constraint=models.CheckConstraint(condition=models.Q(('is_live', True), ('kind', 'paper'), _negated=True), name='account_paper_is_never_live'),
        ),
        migrations.AddConstraint(
            model_name='fill',
            constraint=models.UniqueConstraint(fields=('account', 'exchange_trade_id'), name='fill_once_per_trade'),
        ),
        migrations.AddConstraint(
            model_name='fill',
            constraint=models.CheckConstraint(condition=models.Q(('price__gt', 0), ('quantity__gt', 0)), name='fill_amounts_positive'),
        ),
        migrations.AddConstraint(
            model_name='paperbalance',
            constraint=models.UniqueConstraint(fields=('account', 'asset'), name='paper_balance_once_per_asset'),
        ),
        migrations.AddIndex(
            model_name='paperorder',
            index=models.Index(condition=models.Q(('status', 'open')), fields=['symbol'], name='paper_order_open_by_symbol'),
        ),
        migrations.AddConstraint(
            model_name='paperorder',
            constraint=models.UniqueConstraint(fields=('account', 'client_order_id'), name='paper_order_once'),
        ),
        migrations.AddConstraint(
            model_name='paperposition',
            constraint=models.UniqueConstraint(fields=('account', 'symbol'), name='paper_position_once_per_symbol'),
        ),
        migrations.AddIndex(
            model_name='position',
            index=models.Index(condition=models.Q(('status', 'closed'), _negated=True), fields=['market', 'symbol'], name='position_open_by_symbol'),
        ),
        migrations.AddIndex(
            model_name='position',
            index=models.Index(fields=['trader', '-opened_at'], name='position_by_trader'),
        ),
        migrations.AddConstraint(
            model_name='position',
            constraint=models.UniqueConstraint(condition=models.Q(('status', 'closed'), _negated=True), fields=('account', 'market', 'symbol'), name='position_one_open_per_symbol'),
        ),
        migrations.AddConstraint(
            model_name='position',
            constraint=models.UniqueConstraint(condition=models.Q(('signal__isnull', False)), fields=('signal',), name='position_one_per_signal'),
        ),
        migrations.AddConstraint(
            model_name='position',
            constraint=models.CheckConstraint(condition=models.Q(('contracts__gte', 0), ('cost__gte', 0), ('fees__gte', 0)), name='position_amounts_not_negative'),
        ),
        migrations.AddConstraint(
            model_name='position',
            constraint=models.CheckConstraint(condition=models.Q(models.Q(('status', 'closed'), _negated=True), models.Q(('closed_at__isnull', False), ('contracts', 0)), _connector='OR'), name='position_closed_is_flat'),
        ),
        migrations.AddIndex(
            model_name='order',
            index=models.Index(condition=models.Q(('status__in', ['intended', 'sent', 'open', 'partially_filled', 'unknown'])), fields=['position', 'leg'], name='order_live_by_position'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.UniqueConstraint(fields=('position', 'cause_id', 'leg', 'generation'), name='order_once_per_intent'),
        ),
        migrations.AddConstraint(
            model_name='order',
            constraint=models.CheckConstraint(condition=models.Q(('filled__gte', 0), ('filled__lte', models.F('quantity')), ('quantity__gt', 0)), name='order_amounts_in_bounds'),
        ),
        migrations.AddIndex(
            model_name='positionmanagementdecision',
            index=models.Index(fields=['position', '-timestamp'], name='management_by_position'),
        ),
        migrations.AddIndex(
            model_name='positionmanagementdecision',
            index=models.Index(condition=models.Q(('signal__isnull', False)), fields=['signal'], name='management_by_signal'),
        ),
        migrations.AddIndex(
            model_name='positionmanagementdecision',
            index=models.Index(condition=models.Q(('outcome', '')), fields=['created_at'], name='management_not_acted_on'),
        ),
        migrations.AddConstraint(
            model_name='positionmanagementdecision',
            constraint=models.CheckConstraint(condition=models.Q(('action__in', ['hold', 'adjust_sl', 'adjust_tp', 'add', 'reduce', 'close'])), name='management_action_is_known'),
        ),
        migrations.AddConstraint(
            model_name='positionmanagementdecision',
            constraint=models.CheckConstraint(condition=models.Q(('confidence__gte', 0), ('confidence__lte', 1)), name='management_confidence_is_fraction'),
        ),
        migrations.AddConstraint(
            model_name='tradingprofile',
            constraint=models.CheckConstraint(condition=models.Q(('risk_per_trade_pct__gt', 0), ('risk_per_trade_pct__lte', 100)), name='profile_risk_is_percent'),
        ),
        migrations.AddConstraint(
            model_name='tradingprofile',
            constraint=models.CheckConstraint(condition=models.Q(('max_position_notional__gt', 0), ('min_risk_reward__gte', 0)), name='profile_limits_positive'),
        ),
        migrations.AddConstraint(
            model_name='tradingprofile',
            constraint=models.CheckConstraint(condition=models.Q(('trailing_stop_distance__gt', 0), ('trailing_stop_distance__lt', 100)), name='profile_trailing_is_percent'),
        ),
    ]

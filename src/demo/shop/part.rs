//! The parts of the shop, and what each calls.

/// One process of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Part {
    /// Where customers come in.
    Gateway,
    /// Takes orders.
    OrderService,
    /// Knows what is in stock.
    InventoryService,
    /// Takes money, and writes a journal of it.
    PaymentGateway,
    /// Keys and values, with a limit on connections.
    Store,
    /// Customers.
    Load,
}

impl Part {
    /// Those that serve.
    pub const SERVICES: [Self; 5] =
        [Self::Gateway, Self::OrderService, Self::InventoryService, Self::PaymentGateway, Self::Store];

    /// Its name everywhere: in the catalogue, in logs, as argument.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::OrderService => "order-service",
            Self::InventoryService => "inventory-service",
            Self::PaymentGateway => "payment-gateway",
            Self::Store => "store",
            Self::Load => "load",
        }
    }

    /// Whom it calls.
    #[must_use]
    pub const fn calls(self) -> &'static [Self] {
        match self {
            Self::Gateway => &[Self::OrderService, Self::PaymentGateway],
            Self::OrderService => &[Self::InventoryService],
            Self::InventoryService | Self::PaymentGateway => &[Self::Store],
            Self::Store => &[],
            Self::Load => &[Self::Gateway],
        }
    }

    /// The path of its work.
    #[must_use]
    pub const fn work(self) -> &'static str {
        match self {
            Self::Gateway | Self::Load => "/checkout",
            Self::OrderService => "/orders",
            Self::InventoryService => "/reserve",
            Self::PaymentGateway => "/pay",
            Self::Store => "/add",
        }
    }
}
